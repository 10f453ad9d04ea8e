from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hauberk.adapters.data import folder
from hauberk.adapters.data.source import load_dataset
from hauberk.core.errors import DataError

RNG = np.random.default_rng(0)


@pytest.fixture
def pillow() -> Any:
    return pytest.importorskip("PIL.Image", reason="Pillow is absent")


def pgm(pixels: np.ndarray) -> bytes:
    height, width = pixels.shape
    return f"P5 {width} {height} 255\n".encode() + pixels.astype(np.uint8).tobytes()


def fill(root: Path, *, count: int = 12) -> np.ndarray:
    """Two classes of grey 4×6 images; returns the pixels of both in order."""
    pixels = RNG.integers(0, 256, (2 * count, 4, 6)).astype(np.uint8)
    for number, image in enumerate(pixels):
        place = root / ("cat" if number < count else "dog")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:03d}.pgm").write_bytes(pgm(image))
    return pixels


def test_subfolders_are_classes(tmp_path: Path, pillow: Any) -> None:
    pixels = fill(tmp_path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    data = load_dataset(f"folder:{tmp_path}")
    assert data.shape == (1, 4, 6)
    np.testing.assert_allclose(data.x[:, 0], pixels / 255, atol=1e-6)
    assert data.y.tolist() == [0] * 12 + [1] * 12


def test_train_and_test_folders_keep_their_split(tmp_path: Path, pillow: Any) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / "test", count=3)
    data = load_dataset(f"folder:{tmp_path}")
    np.testing.assert_array_equal(data.indices("test"), np.arange(24, 30))


def test_colour_stays_colour(tmp_path: Path, pillow: Any) -> None:
    pixels = RNG.integers(0, 256, (4, 6, 3)).astype(np.uint8)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pillow.fromarray(pixels).save(tmp_path / name / "1.png")
        pillow.fromarray(pixels).convert("RGBA").save(tmp_path / name / "2.png")
    data = load_dataset(f"folder:{tmp_path}")
    assert data.shape == (3, 4, 6)
    np.testing.assert_allclose(data.x[1], pixels.transpose(2, 0, 1) / 255, atol=1e-6)


def test_bad_folders_are_refused(tmp_path: Path, pillow: Any) -> None:
    with pytest.raises(DataError, match="0 class folders"):
        load_dataset(f"folder:{tmp_path}")
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="no images"):
        load_dataset(f"folder:{tmp_path}")
    fill(tmp_path)
    odd = tmp_path / "dog" / "odd.pgm"
    odd.write_bytes(pgm(np.zeros((6, 4))))
    with pytest.raises(DataError, match="the first is"):
        load_dataset(f"folder:{tmp_path}")
    for content in (b"", b"no image", pgm(np.zeros((4, 6)))[:-5]):
        odd.write_bytes(content)
        with pytest.raises(DataError, match="not a readable image"):
            load_dataset(f"folder:{tmp_path}")
    odd.write_bytes(b"P5 60000 60000 255\n")
    with pytest.raises(DataError, match=r"pixels|not a readable"):
        load_dataset(f"folder:{tmp_path}")
    pillow.fromarray(np.zeros((4, 6), dtype=np.uint16)).save(tmp_path / "dog" / "odd.png")
    odd.unlink()
    with pytest.raises(DataError, match="mode"):
        load_dataset(f"folder:{tmp_path}")


def test_links_are_not_followed(tmp_path: Path, pillow: Any) -> None:
    fill(tmp_path / "data")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x.pgm").write_bytes(pgm(np.zeros((9, 9))))
    (tmp_path / "data" / "owl").symlink_to(tmp_path / "secret")
    (tmp_path / "data" / "cat" / "link.pgm").symlink_to(tmp_path / "secret" / "x.pgm")
    data = load_dataset(f"folder:{tmp_path / 'data'}")
    assert data.classes == 2
    assert len(data) == 24


def test_without_pillow_the_hint_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    fill(tmp_path)
    monkeypatch.setattr(folder, "import_module", absent)
    with pytest.raises(DataError, match="needs Pillow") as caught:
        load_dataset(f"folder:{tmp_path}")
    assert "pip install" in caught.value.hint
