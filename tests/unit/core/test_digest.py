"""Content addresses."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.core.digest import (
    canonical_json,
    check_digest,
    digest_bytes,
    digest_file,
    digest_json,
    short,
)
from hauberk.core.errors import UserError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_known_digest() -> None:
    empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest_bytes(b"") == empty
    assert short(empty) == "e3b0c44298fc"
    assert check_digest(empty) == empty


@pytest.mark.parametrize("size", [0, 1, 2**20, 2**20 + 1])
def test_a_file_has_the_digest_of_its_bytes(size: int, tmp_path: Path) -> None:
    data = bytes(size)
    (tmp_path / "f").write_bytes(data)
    assert digest_file(tmp_path / "f") == f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "sha256:" + "0" * 63,
        "sha256:" + "0" * 65,
        "sha256:" + "A" * 64,
        "md5:" + "0" * 64,
        "sha256:" + "0" * 64 + "\n",
        " sha256:" + "0" * 64,
    ],
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        check_digest(text)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=4))
@settings(deadline=None, max_examples=60)
def test_the_order_of_keys_does_not_matter(tree: dict[str, object]) -> None:
    turned = dict(reversed(tree.items()))
    assert canonical_json(tree) == canonical_json(turned)
    assert digest_json(tree) == digest_json(turned)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"x": value})
