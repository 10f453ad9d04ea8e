"""The two readings of a pickle: what the fast pass shows, and what needs the machine."""

import pickle
import struct
from typing import Any

import pytest

from hauberk.testing.vet_pieces import call, joblib_wrapper, pickled, text
from hauberk.vet import pickle_scan, tape
from hauberk.vet.case import Case, Limits
from hauberk.vet.finding import Coverage, Outcome, Vetted
from hauberk.vet.names import Trust
from hauberk.vet.pickle_machine import Machine
from hauberk.vet.pickle_scan import scan
from hauberk.vet.run import inspect, vet
from hauberk.vet.source import Memory


def case(size: int = 1000, **limits: int) -> Case:
    return Case(size=size, inspect=inspect, limits=Limits(**limits))


def examined(data: bytes, **limits: int) -> Vetted:
    return vet(Memory(data), "x.pkl", Limits(**limits))


def test_the_pass_alone_is_enough_for_inert_names() -> None:
    found = scan(Memory(pickled(b"ccollections\nOrderedDict\n)R")), 0, case())
    assert found.inert
    assert found.names == {("collections", "OrderedDict"): Trust.INERT}


def test_a_name_from_the_memo_is_read_by_the_machine() -> None:
    body = text("numpy") + b"\x94" + text("x") + b"0" + b"h\0" + text("dtype") + b"\x93"
    found = scan(Memory(pickled(body)), 0, case())
    assert found.names == {("numpy", "dtype"): Trust.INERT}
    assert found.inert


def test_a_computed_name_is_malicious() -> None:
    body = b"ccollections\nOrderedDict\n)R" + text("system") + b"\x93"
    result = examined(pickled(body))
    assert result.outcome is Outcome.MALICIOUS
    assert {one.rule for one in result.findings} == {"HB-V004"}


def test_a_state_on_a_class_is_malicious() -> None:
    body = b"csklearn.svm\nSVC\n}" + text("fit") + b"Nsb"
    assert examined(pickled(body)).outcome is Outcome.MALICIOUS


def test_a_call_of_what_a_call_returned_is_for_review() -> None:
    body = b"csklearn.svm\nSVC\n)R)R"
    assert examined(pickled(body)).outcome is Outcome.REVIEW


@pytest.mark.parametrize("protocol", range(6))
def test_windows_do_not_change_what_is_read(protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    value: list[Any] = [{"k" * n: (n, b"\x93." * n, "c\n" * n)} for n in range(300)]
    data = pickle.dumps(value, protocol)[:-1] + b"0" + call("os", "system") + b"."
    whole = scan(Memory(data), 0, case())
    for module, chunk in ((pickle_scan, 1 << 14), (tape, 1 << 14)):
        monkeypatch.setattr(module, "_CHUNK", chunk)
    small = scan(Memory(data), 0, case())
    machine = Machine(Memory(data), 0, case())
    machine.run()
    assert small == whole
    assert whole.end == machine.end == len(data)
    assert [ref.full for ref in machine.refs.values()][-1] == "os.system"


def test_the_array_of_joblib_is_passed_over() -> None:
    raw = bytes(range(256)) * 4
    good = b"\x80\x04](" + joblib_wrapper(1024) + raw + b"e."
    assert examined(good).outcome is Outcome.CLEAN
    bad = good[:-2] + call("os", "system") + b"e."
    assert examined(bad).outcome is Outcome.MALICIOUS


def test_an_array_of_unclear_size_is_never_clean() -> None:
    wrapper = joblib_wrapper(4).replace(struct.pack("<i", 4) + b"\x85", b"\0\0\0\0" + b"0N")
    result = examined(b"\x80\x04" + wrapper + b"raw!.")
    assert (result.outcome, result.coverage) == (Outcome.REVIEW, Coverage.PARTIAL)


def test_the_cap_on_opcodes_is_never_clean() -> None:
    data = pickled(b"csklearn.svm\nSVC\n)R0" + b"N0" * 100 + b"N")
    assert examined(data).outcome is Outcome.CLEAN
    capped = examined(data, opcodes=50)
    assert (capped.outcome, capped.coverage) == (Outcome.REVIEW, Coverage.PARTIAL)


def test_a_file_cut_anywhere_is_never_clean() -> None:
    data = pickle.dumps({"a": [1, 2.5, "x" * 300], "b": b"y" * 300}, 4)
    assert examined(data).outcome is Outcome.CLEAN
    assert {examined(data[:n]).outcome for n in range(1, len(data))} == {Outcome.REVIEW}


def test_what_joblib_takes_for_an_array_plain_pickle_runs() -> None:
    hidden = b"0\x93."  # pops the array's stand-in: the two texts below make a name
    data = b"\x80\x04" + text("os") + text("system") + joblib_wrapper(len(hidden)) + hidden
    assert examined(data + b"000N.").outcome is Outcome.MALICIOUS
    assert examined(data.replace(hidden, b"\1\2\3") + b"000N.").outcome is Outcome.CLEAN
