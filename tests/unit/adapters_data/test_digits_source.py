import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import interpolate

from hauberk.adapters.data.digits import load, resize
from hauberk.adapters.data.source import load_dataset
from hauberk.core.data import SHARES
from hauberk.core.errors import DataError, UnknownNameError


def test_digits_are_what_torch_would_make_of_them() -> None:
    data = load_dataset("digits")
    images = torch.from_numpy(load_digits().images / 16.0)[:, None].float()
    expected = interpolate(images, size=28, mode="bilinear", align_corners=False).numpy()
    assert data.x.shape == (1797, 1, 28, 28)
    assert data.classes == 10
    assert (float(data.x.min()), float(data.x.max())) == (0.0, 1.0)
    np.testing.assert_allclose(data.x, expected, atol=1e-6)


def test_digits_have_one_digest_on_every_machine() -> None:
    assert load().digest == (
        "sha256:65431df8dec9c6ac4e307847e14259e2c3e6013c17d4f9833a0e4aa8706c804b"
    )


def test_digits_are_split_in_the_agreed_shares() -> None:
    data = load()
    for split, share in SHARES.items():
        assert len(data.indices(split)) == pytest.approx(share * len(data), abs=6)
        counts = np.bincount(data.y[data.indices(split)])
        assert counts.min() >= 0.8 * counts.max()


@pytest.mark.parametrize(("size", "side"), [(8, 28), (5, 5), (7, 3), (1, 4)])
def test_resize_agrees_with_torch(size: int, side: int) -> None:
    images = np.random.default_rng(size).random((3, size, size))
    expected = interpolate(
        torch.from_numpy(images)[:, None], size=side, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(resize(images, side), expected[:, 0].numpy(), atol=1e-9)


def test_an_argument_is_refused() -> None:
    with pytest.raises(DataError, match="no argument"):
        load_dataset("digits:please")


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_dataset("digit")
    assert "'digits'" in caught.value.hint


@pytest.mark.parametrize("kind", ["idx", "npz", "folder", "csv", "parquet"])
@pytest.mark.parametrize("argument", ["", "  ", "no/such/place", "a\0b"])
def test_missing_places_are_the_callers_fault(kind: str, argument: str) -> None:
    with pytest.raises(DataError):
        load_dataset(f"{kind}:{argument}")
