import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hauberk.adapters.data.source import load_dataset
from hauberk.core.errors import DataError

DATA = Path(__file__).parents[4] / "shared" / "data"
RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (20, 5, 6, 3)).astype(np.uint8)
Y = (np.arange(20) % 4).astype(np.uint8)


def write(path: Path, **arrays: Any) -> str:
    np.savez_compressed(path / "d.npz", **arrays)
    return f"npz:{path / 'd.npz'}"


@pytest.mark.parametrize(
    ("x", "shape", "expected"),
    [
        (X, (3, 5, 6), X.transpose(0, 3, 1, 2) / 255),
        (X.transpose(0, 3, 1, 2), (3, 5, 6), X.transpose(0, 3, 1, 2) / 255),
        (X[..., 0], (1, 5, 6), X[:, None, :, :, 0] / 255),
        (X[..., :1], (1, 5, 6), X[:, None, :, :, 0] / 255),
        (X.reshape(20, -1), (90,), X.reshape(20, -1) / 255),
        (X / 255, (3, 5, 6), X.transpose(0, 3, 1, 2) / 255),
        ((X / 255).astype(np.float16).reshape(20, -1), (90,), X.reshape(20, -1) / 255),
    ],
    ids=["nhwc", "nchw", "nhw", "nhw1", "rows", "float64", "float16"],
)
def test_inputs_become_channels_first_floats(
    tmp_path: Path, x: np.ndarray, shape: tuple[int, ...], expected: np.ndarray
) -> None:
    data = load_dataset(write(tmp_path, x=x, y=Y))
    assert data.shape == shape
    assert data.classes == 4
    np.testing.assert_allclose(data.x, expected, atol=1e-3 if x.dtype == np.float16 else 1e-6)
    np.testing.assert_array_equal(data.y, Y)


def test_the_official_test_part_and_the_tracks_are_kept(tmp_path: Path) -> None:
    x = RNG.random((400, 5))
    y = np.repeat(np.arange(4), 100)
    tracks = np.array([f"{i // 5:03d}" for i in range(400)])
    source = write(
        tmp_path, x_train=x, y_train=y, x_test=x[:50], y_test=y[:50, None], track_train=tracks
    )
    data = load_dataset(source)
    assert len(data.split("test")) == 50
    np.testing.assert_array_equal(data.indices("test"), np.arange(400, 450))
    seen: dict[str, str] = {}
    for split in ("train", "validation", "calibration"):
        for index in data.indices(split):
            assert seen.setdefault(tracks[index], split) == split
    assert set(seen.values()) == {"train", "validation", "calibration"}


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"x": X}, "holds x"),
        ({"a": X, "b": Y}, "nothing of use"),
        ({"x": X, "y": Y[:-1]}, "20 samples"),
        ({"x": X, "y": Y.astype(float)}, "whole number"),
        ({"x": X, "y": np.array(["a"] * 20)}, "whole number"),
        ({"x": X, "y": Y.astype(np.int64) - 1}, "labels must lie"),
        ({"x": X.astype(np.int32), "y": Y}, "int32"),
        ({"x": X[:, 0, 0, 0], "y": Y}, "shape"),
        ({"x": X[:0], "y": Y[:0]}, "shape"),
        ({"x": X.astype(float), "y": Y}, "outside"),
        ({"x": np.where(X > 200, np.nan, 0.5), "y": Y}, "NaN"),
        ({"x": np.array([{"a": 1}] * 20, dtype=object), "y": Y}, "pickled"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, 1:], "y_test": Y}, "differ"),
        (
            {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y, "track_train": Y[:3]},
            "groups",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, arrays: dict[str, Any], reason: str) -> None:
    source = write(tmp_path, **arrays)
    with pytest.raises(DataError, match=reason) as caught:
        load_dataset(source)
    assert "\n" not in str(caught.value)


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    good = io.BytesIO()
    np.savez(good, x=X, y=Y)
    whole = good.getvalue()
    flipped = bytearray(whole)
    flipped[600] ^= 1
    for content in (b"", b"no zip", whole[:-30], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a readable"):
            load_dataset(f"npz:{path}")


def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hauberk.adapters.data.npz._MOST_BYTES", 10_000)
    source = write(tmp_path, x=np.zeros((10, 2000), dtype=np.uint8), y=Y[:10])
    assert (tmp_path / "d.npz").stat().st_size < 2000
    with pytest.raises(DataError, match="unpacks to"):
        load_dataset(source)


def test_a_header_that_promises_too_much_is_refused(tmp_path: Path) -> None:
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999, 4), }"
    content = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head
    path = tmp_path / "d.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)
        archive.writestr("y.npy", content)
    with pytest.raises(DataError):
        load_dataset(f"npz:{path}")


@pytest.mark.parametrize(
    ("name", "shape", "classes", "test"),
    [
        ("cifar10-jpeg/cifar10_jpeg_10k_2k.npz", (3, 32, 32), 10, 2000),
        ("gtsrb/gtsrb_32x32.npz", (3, 32, 32), 43, 2580),
    ],
)
def test_real_archives(name: str, shape: tuple[int, ...], classes: int, test: int) -> None:
    if not (DATA / name).is_file():
        pytest.skip(f"../shared/data/{name} is absent")
    data = load_dataset(f"npz:{DATA / name}")
    assert data.shape == shape
    assert data.classes == classes
    assert len(data.indices("test")) == test
    if "gtsrb" in name:
        with np.load(DATA / name, allow_pickle=False) as archive:
            tracks = archive["track_train"]
        groups = [
            set(tracks[data.indices(part)]) for part in ("train", "validation", "calibration")
        ]
        assert len(set.union(*groups)) == sum(map(len, groups)) == len(set(tracks))
