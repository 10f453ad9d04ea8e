"""Images with boxes, annotated as COCO does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from hauberk.adapters.data.reading import check_values, existing, read_bounded
from hauberk.core.detection import IGNORED, NOTHING
from hauberk.core.errors import DataError
from hauberk.core.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_MOST_BOXES = 1000
_MOST_TEXT = 1 << 28


def load_coco(argument: str, *, classes: Sequence[str] | None = None, every: int = 1) -> Samples:
    """Images ``(n, 3, height, width)`` in [0, 1], with targets ``(n, most, 5)``.

    The argument is the annotations' JSON file, beside which the images lie. ``classes`` are the
    names in the order of the detector's scores; without them, the file's categories by id. Boxes
    of crowds, and those of categories that are not among them, are regions to be ignored. Where a
    box says by ``vis_ratio`` what share of an object is seen, that is a sixth value of each target.
    Of the images, which must be of one size, each ``every`` is taken.

    Raises:
        DataError: if a file is missing, damaged, too large or not of that form.
    """
    path = existing(argument)
    where = str(path)
    try:
        tree = json.loads(read_bounded(path, _MOST_TEXT))
        images = sorted(tree["images"], key=lambda one: int(one["id"]))[::every]
        titles = {int(one["id"]): str(one["name"]) for one in tree["categories"]}
        order = list(classes) if classes else [titles[number] for number in sorted(titles)]
        label = {number: order.index(name) for number, name in titles.items() if name in order}
        boxes: dict[int, list[list[float]]] = {int(one["id"]): [] for one in images}
        partly = any("vis_ratio" in one for one in tree["annotations"])
        for one in tree["annotations"]:
            if int(one["image_id"]) in boxes:
                boxes[int(one["image_id"])].append(_box(one, label, partly=partly))
        names = [str(one["file_name"]) for one in images]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"not annotations as COCO writes them: {error!r}", where=where) from None
    if not images:
        raise DataError("no images", where=where)
    most = max(1, *(len(found) for found in boxes.values()))
    if most > _MOST_BOXES:
        raise DataError(f"{most} boxes in one image, more than {_MOST_BOXES}", where=where)
    y = np.full((len(images), most, 6 if partly else 5), NOTHING, dtype=np.float32)
    for row, found in enumerate(boxes.values()):
        if found:
            y[row, : len(found)] = found
    return Samples(name=path.parent.name, x=_pixels(path.parent, names, where), y=y)


def _box(one: Mapping[str, Any], label: Mapping[int, int], *, partly: bool) -> list[float]:
    left, top, width, height = (float(part) for part in one["bbox"])
    kind = label.get(int(one["category_id"]), IGNORED)
    if one.get("iscrowd") or one.get("ignore"):
        kind = IGNORED
    seen = [float(one.get("vis_ratio", 1.0))] if partly else []
    return [kind, left, top, left + width, top + height, *seen]


def _pixels(folder: Path, names: Sequence[str], where: str) -> NDArray[np.float32]:
    found: list[NDArray[np.float32]] = []
    for name in names:
        file = (folder / name).resolve()
        if not file.is_relative_to(folder.resolve()):
            raise DataError(f"an image outside the folder: {name[:80]!r}", where=where)
        try:
            with Image.open(file) as image:
                check_values(image.width * image.height * 3 * len(names), where)
                pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / np.float32(255)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"cannot be read: {error}", where=str(file)) from None
        found.append(pixels.transpose(2, 0, 1))
        if found[-1].shape != found[0].shape:
            raise DataError("images of several sizes", where=where, hint="resize them to one")
    return np.stack(found)
