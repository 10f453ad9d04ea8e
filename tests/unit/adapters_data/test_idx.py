import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from hauberk.adapters.data.source import load_dataset
from hauberk.core.errors import DataError

DATA = Path(__file__).parents[4] / "shared" / "data"
RNG = np.random.default_rng(0)


def idx(values: np.ndarray, *, magic: bytes | None = None) -> bytes:
    head = magic or bytes((0, 0, 8, values.ndim))
    return head + struct.pack(f">{values.ndim}I", *values.shape) + values.astype("u1").tobytes()


def parts() -> dict[str, bytes]:
    """Forty train and ten test images of 3×5 in two classes."""
    files = {}
    for name, count in (("train", 40), ("t10k", 10)):
        images = RNG.integers(0, 256, (count, 3, 5))
        images[0, 0, 0] = 255
        files[f"{name}-images-idx3-ubyte"] = idx(images)
        files[f"{name}-labels-idx1-ubyte"] = idx(np.arange(count) % 2)
    return files


def write(folder: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return f"idx:{folder}"


@pytest.mark.parametrize("form", ["plain", "gz", "dots"])
def test_a_folder_loads(tmp_path: Path, form: str) -> None:
    files = parts()
    images = files["t10k-images-idx3-ubyte"]
    if form == "gz":
        files = {f"{name}.gz": gzip.compress(content) for name, content in files.items()}
    if form == "dots":
        files = {name.replace("-idx", ".idx"): content for name, content in files.items()}
    data = load_dataset(write(tmp_path, files))
    assert data.shape == (1, 3, 5)
    assert data.classes == 2
    assert float(data.x.max()) == 1.0
    test = data.split("test")
    assert len(test) == 10
    expected = np.frombuffer(images, dtype="u1", offset=16).reshape(10, 1, 3, 5) / 255
    np.testing.assert_allclose(test.x, expected, atol=1e-7)
    assert test.y.tolist() == [0, 1] * 5
    assert len(data.split("validation")) + len(data.split("calibration")) < 20


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("train-images-idx3-ubyte", lambda data: data[:-1], "truncated"),
        ("train-images-idx3-ubyte", lambda data: data + b"x", "longer"),
        ("train-images-idx3-ubyte", lambda data: data[:9], "header"),
        ("train-images-idx3-ubyte", lambda _: b"", "starts with nothing"),
        (
            "train-images-idx3-ubyte",
            lambda data: b"\0\0\x0d\x03" + data[4:],
            "starts with 00000d03",
        ),
        ("train-labels-idx1-ubyte", lambda _: idx(np.arange(39) % 2), "40 train images but 39"),
        ("t10k-images-idx3-ubyte", lambda _: idx(np.zeros((10, 5, 3))), "test images"),
        ("t10k-images-idx3-ubyte", lambda _: idx(np.zeros((0, 3, 5))), "0 t10k images"),
        ("t10k-labels-idx1-ubyte", lambda data: b"\x1f\x8b" + data, "gzip"),
        ("t10k-labels-idx1-ubyte", lambda data: gzip.compress(data)[:-9], "gzip"),
        (
            "train-images-idx3-ubyte",
            lambda data: data[:4] + struct.pack(">3I", *[2**32 - 1] * 3) + data[16:],
            "truncated",
        ),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, name: str, change, reason: str) -> None:  # type: ignore[no-untyped-def]
    files = parts()
    files[name] = change(files[name])
    with pytest.raises(DataError, match=reason):
        load_dataset(write(tmp_path, files))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    files = parts()
    del files["t10k-labels-idx1-ubyte"]
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte"):
        load_dataset(write(tmp_path, files))


def test_what_unpacks_to_too_much_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hauberk.adapters.data.idx.MAX_VALUES", 1000)
    files = {f"{name}.gz": gzip.compress(content) for name, content in parts().items()}
    files["train-images-idx3-ubyte.gz"] = gzip.compress(idx(np.zeros((40, 100, 100))))
    with pytest.raises(DataError, match="more than"):
        load_dataset(write(tmp_path, files))


def test_mnist() -> None:
    if not (DATA / "mnist").is_dir():
        pytest.skip("../shared/data/mnist is absent")
    data = load_dataset(f"idx:{DATA / 'mnist'}")
    sizes = [len(data.indices(split)) for split in ("train", "validation", "calibration", "test")]
    assert sum(sizes) == 70_000
    assert sizes[3] == 10_000
    assert sizes[1] == pytest.approx(5000, abs=5)
    assert sizes[2] == pytest.approx(5000, abs=5)
    assert data.split("test").y[:5].tolist() == [7, 2, 1, 0, 4]
    assert float(data.x.mean()) == pytest.approx(0.1309, abs=1e-4)
