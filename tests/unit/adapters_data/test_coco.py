from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from hauberk.adapters.data.coco import load_coco
from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


def _write(folder: Path, **change: Any) -> str:
    for number in (1, 2):
        Image.new("RGB", (6, 4), (255, 0, 51)).save(folder / f"{number}.png")
    boxes = [
        {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 0, 2, 3]},
        {"id": 2, "image_id": 1, "category_id": 9, "bbox": [0, 0, 1, 1]},
        {"id": 3, "image_id": 1, "category_id": 7, "bbox": [2, 2, 1, 1], "iscrowd": 1},
    ]
    tree = {
        "images": [{"id": number, "file_name": f"{number}.png"} for number in (2, 1)],
        "categories": [{"id": 7, "name": "person"}, {"id": 9, "name": "dog"}],
        "annotations": boxes,
        **change,
    }
    file = folder / "boxes.json"
    file.write_text(json.dumps(tree))
    return str(file)


def test_boxes_and_pixels(tmp_path: Path) -> None:
    found = load_coco(_write(tmp_path))
    assert found.x.shape == (2, 3, 4, 6)
    assert found.x[0, :, 0, 0].tolist() == [1.0, 0.0, np.float32(0.2)]
    assert found.y[0].tolist() == [[0, 1, 0, 3, 3], [1, 0, 0, 1, 1], [-2, 2, 2, 3, 3]]
    assert (found.y[1, :, 0] == -1).all()


def test_the_detector_says_the_order(tmp_path: Path) -> None:
    found = load_coco(_write(tmp_path), classes=("cat", "dog"), every=2)
    assert found.y[0, :, 0].tolist() == [-2, 1, -2]
    assert len(found) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"images": []},
        {"images": [{"id": 1, "file_name": "../boxes.json"}]},
        {"images": [{"id": 1, "file_name": "none.png"}]},
        {"images": [{"id": 1}]},
        {"categories": 3},
        {"annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1]}]},
    ],
)
def test_what_cannot_be_read(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        load_coco(_write(tmp_path, **change))


def test_images_of_several_sizes(tmp_path: Path) -> None:
    file = _write(tmp_path)
    Image.new("RGB", (5, 4)).save(tmp_path / "2.png")
    with pytest.raises(DataError, match="several sizes"):
        load_coco(file)
