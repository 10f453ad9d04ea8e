from __future__ import annotations

import pytest

from hauberk.core.errors import DataError
from hauberk.guard.fingerprint import BITS
from hauberk.monitor import likeness

MARKS = [0, 1, (1 << BITS) - 1]


def test_what_was_written_is_read() -> None:
    assert likeness.numbers(likeness.written(MARKS), most=3) == MARKS
    assert likeness.numbers("", most=0) == []


@pytest.mark.parametrize("text", ["0" * 31, "g" * 32, likeness.written(MARKS) + "0"], ids=len)
def test_a_damaged_state_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="malformed"):
        likeness.numbers(text, most=9)


def test_more_than_a_client_may_have_are_refused() -> None:
    with pytest.raises(DataError, match="too many"):
        likeness.numbers(likeness.written(MARKS), most=2)


def test_a_fingerprint_of_another_form_is_no_number() -> None:
    assert [likeness.number(one) for one in ("", "ab", "z" * 32, "f" * 32)] == [
        None,
        None,
        None,
        MARKS[2],
    ]
