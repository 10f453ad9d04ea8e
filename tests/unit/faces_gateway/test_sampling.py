from __future__ import annotations

from hauberk.faces.gateway.sampling import Sampling


def test_a_share_is_kept_and_under_load_no_more_than_people_can_label() -> None:
    numbers = iter([n % 100 / 100 for n in range(10**5)])
    keep = Sampling(lambda: next(numbers))
    slow = sum(keep(1e9 + second) for second in range(1000))
    assert slow == 20
    quick = sum(keep(1e9 + 1000 + n / 1000) for n in range(60_000))
    assert 128 + 2 * 59 <= quick <= 128 + 2 * 60  # at once, and in the minute that follows
