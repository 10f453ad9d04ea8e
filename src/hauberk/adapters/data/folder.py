"""A folder of images, one subfolder a class."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.adapters.data.parts import official
from hauberk.adapters.data.reading import check_values, existing
from hauberk.core.data import Dataset
from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm"}
_FORMATS = ("PNG", "JPEG", "BMP", "PPM")
_MOST_FILES = 1 << 20
_MOST_PIXELS = 1 << 24


def load(argument: str) -> Dataset:
    """Images ``(1 or 3, h, w)`` in [0, 1]; classes are the subfolders in order of their names.

    ``DIR/train/CLASS`` and ``DIR/test/CLASS`` keep that split; ``DIR/CLASS`` is split by draw.
    Links are not followed. Grey images stay grey; palettes and transparency become colour.

    Raises:
        DataError: if Pillow is absent, an image is damaged, or not all have the same shape.
    """
    folder = existing(argument, folder=True)
    subfolders = _subfolders(folder)
    has_official = {path.name for path in subfolders} == {"train", "test"}
    roots = [folder / "train", folder / "test"] if has_official else [folder]
    classes = [path.name for path in _subfolders(roots[0])]
    if len(classes) < 2:
        raise DataError(
            f"{len(classes)} class folders, at least 2 are needed",
            where=str(roots[0]),
            hint="put each class's images into a folder of its own",
        )
    files = [(path, root, name) for root in roots for path, name in _files(root, classes)]
    if not files:
        raise DataError("no images", where=str(folder), hint=f"looked for {', '.join(_ENDINGS)}")
    y = np.array([classes.index(name) for _, _, name in files], dtype=np.int64)
    test = np.array([root == roots[-1] for _, root, _ in files])
    return Dataset(
        name=folder.resolve().name,
        x=_stack([path for path, _, _ in files]),
        y=y,
        classes=len(classes),
        part=official(y, test) if has_official else None,
    )


def _subfolders(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")
    )


def _files(root: Path, classes: list[str]) -> list[tuple[Path, str]]:
    if extra := {path.name for path in _subfolders(root)} - set(classes):
        raise DataError(f"class {min(extra)!r} is not among the train classes", where=str(root))
    found = [
        (path, name)
        for name in classes
        if (root / name).is_dir()
        for path in sorted((root / name).iterdir())
        if path.suffix.lower() in _ENDINGS and path.is_file() and not path.is_symlink()
    ]
    if len(found) > _MOST_FILES:
        raise DataError(f"{len(found)} images, more than {_MOST_FILES}", where=str(root))
    return found


def _stack(paths: list[Path]) -> NDArray[np.float32]:
    first = _read(paths[0])
    check_values(len(paths) * first.size, str(paths[0].parent))
    x = np.empty((len(paths), *first.shape), dtype=np.float32)
    for number, path in enumerate(paths):
        image = first if number == 0 else _read(path)
        if image.shape != first.shape:
            raise DataError(
                f"image is {image.shape}, the first is {first.shape}",
                where=str(path),
                hint="all images need one size and one number of channels (channels, h, w)",
            )
        x[number] = image
    x /= np.float32(255)
    return x


def _read(path: Path) -> NDArray[np.uint8]:
    pillow = _pillow()
    try:
        with pillow.open(path, formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise DataError(
                    f"{image.width}×{image.height} pixels, more than {_MOST_PIXELS}",
                    where=str(path),
                )
            if image.mode not in {"1", "L", "P", "RGB", "RGBA", "LA"}:
                raise DataError(f"pixels of mode {image.mode!r}, expected 8 bits", where=str(path))
            grey = image.mode in {"1", "L", "LA"}
            pixels = np.asarray(image.convert("L" if grey else "RGB"), dtype=np.uint8)
    except DataError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise DataError(f"not a readable image: {reason}", where=str(path)) from None
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def _pillow() -> Any:
    try:
        return import_module("PIL.Image")
    except ImportError:
        raise DataError(
            "reading images needs Pillow", where="folder", hint="pip install pillow"
        ) from None
