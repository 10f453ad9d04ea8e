"""Several watches of one service: one works, the others go on where it ended."""

from __future__ import annotations

from hauberk.adapters.local.shared_watch import SharedWatch
from hauberk.adapters.local.throttles import SharedThrottles
from hauberk.monitor.campaign import CampaignMonitor
from hauberk.monitor.station import Station
from hauberk.testing.guard_state import MemoryGuardState, campaign


def station() -> Station:
    return Station(monitors={"campaign": CampaignMonitor()}, seq=0)


def test_one_works_and_another_goes_on() -> None:
    state = MemoryGuardState()
    state.tell("a", campaign(60))
    first, second = SharedWatch(state, "first"), SharedWatch(state, "second")
    one, other, whole = station(), station(), station()
    assert first.holds("pair", one, at=0.0)
    assert not second.holds("pair", other, at=5.0), "it stands by"
    for record in state.read(0, 30):
        one.fold(record)
    assert first.save("pair", one, at=8.0)
    assert not second.holds("pair", other, at=17.9), "a save renews the hold"
    assert second.holds("pair", other, at=18.1), "whoever held it is silent for too long"
    assert other.seq == 30
    assert not first.save("pair", one, at=18.2), "it sees that it was replaced"
    assert not first.holds("pair", one, at=18.3)
    for record in state.read(0, 60):
        whole.fold(record)
    for record in state.read(other.seq, 60):
        other.fold(record)
    assert other.mark == whole.mark
    second.release("pair", other)
    assert first.holds("pair", one, at=18.4)
    assert one.mark == whole.mark


def test_a_state_that_forgot_keeps_what_the_watch_knows() -> None:
    state, one = MemoryGuardState(), station()
    watch = SharedWatch(state, "first")
    assert watch.holds("pair", one, at=0.0)
    for record in campaign(8):
        one.fold(record)
    state._cells.clear()
    assert not watch.save("pair", one, at=1.0)
    assert watch.holds("pair", one, at=1.1)
    assert one.seq == 8
    other = station()
    assert SharedWatch(state, "second").holds("pair", other, at=30.0)
    assert other.mark == one.mark


def test_another_pair_or_a_damaged_cell_is_watched_afresh() -> None:
    state, one = MemoryGuardState(), station()
    for data in (b"\xc1", b"", b"\x80"):
        state.put("watch", data)
        assert SharedWatch(state, "me").holds("pair", one, at=0.0)
        state._cells.clear()
    for record in campaign(8):
        one.fold(record)
    SharedWatch(state, "me").holds("pair", one, at=0.0)
    other = station()
    assert SharedWatch(state, "me").holds("another pair", other, at=1.0)
    assert other.seq == 0


def test_throttles_of_two_watches_are_one_list() -> None:
    state = MemoryGuardState()
    for name in ("ann", "bob"):
        SharedThrottles(state).hold("t", name, "why", at=0.0)
    assert {one.principal for one in SharedThrottles(state).read()} == {"ann", "bob"}
    SharedThrottles(state).hold("t", "cy", "why", at=601.0)
    assert [one.principal for one in SharedThrottles(state).read()] == ["cy"], "the others are over"
