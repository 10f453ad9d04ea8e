"""Formats by their content, and the headers that contradict their files."""

import gzip
import json
import struct

import pytest

from hauberk.testing.vet_pieces import gguf_model, h5, onnx_model, pickled, zipped
from hauberk.vet.finding import Coverage, Outcome, Vetted
from hauberk.vet.run import vet
from hauberk.vet.source import Memory
from hauberk.vet.templates import template_reaches
from hauberk.vet.together import together


def examined(data: bytes, name: str = "x") -> Vetted:
    return vet(Memory(data), name)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty"),
        (pickled(b"N"), "pickle"),
        (b"N.", "pickle"),
        (b"c\x00", "unknown"),
        (b"cat\ndog\nmouse\n", "text"),
        (b"Copyright (c) 2026.\nAll rights reserved.\n", "text"),
        (b'{"a": 1}', "json"),
        (zipped({}), "zip"),
        (gzip.compress(b"text"), "gzip"),
        (onnx_model(), "onnx"),
        (gguf_model("x"), "gguf"),
        (h5("{}"), "hdf5"),
        (b"\0\0\x08\x01\0\0\0\x03abc", "idx"),
        (b"\0\0\x08\x01\0\0\0\x04abc", "unknown"),
        (b"\x7fELF" + bytes(60), "program"),
        (bytes(range(14, 30)), "unknown"),
        (b"\x28\xb5\x2f\xfd" + bytes(20), "zstd"),
    ],
)
def test_the_content_decides(data: bytes, kind: str) -> None:
    assert examined(data).kind == kind


@pytest.mark.parametrize(
    "data", [b"\x28\xb5\x2f\xfd" + bytes(20), b"Rar!" + bytes(20), b"\xfe\xff"]
)
def test_what_is_not_opened_is_never_clean(data: bytes) -> None:
    result = examined(data)
    assert (result.outcome, result.coverage) == (Outcome.REVIEW, Coverage.PARTIAL)


def test_a_failing_examiner_is_never_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    from hauberk.vet import json_file

    def fail(*args: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(json_file, "vet_config", fail)
    result = examined(b'{"a": 1}')
    assert (result.outcome, result.coverage) == (Outcome.REVIEW, Coverage.PARTIAL)


def test_a_name_that_promises_another_format_is_told() -> None:
    assert {one.rule for one in examined(zipped({}), "a.safetensors").findings} == {"HB-V008"}
    assert examined(zipped({}), "a.safetensors").outcome is Outcome.CLEAN
    assert examined(b"just words", "a.safetensors").outcome is Outcome.REVIEW


def safetensors(header: object, size: int) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(size)


def entry(begin: int, end: int, **more: object) -> dict[str, object]:
    return {"dtype": "F32", "shape": [(end - begin) // 4], "data_offsets": [begin, end], **more}


@pytest.mark.parametrize("compact", [True, False])
def test_both_readings_of_a_header_agree(compact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from hauberk.vet import safetensors_file

    if compact:
        monkeypatch.setattr(safetensors_file, "_PARSED", 0)
    good = {"__metadata__": {"a": "b"}, "b": entry(8, 16), "a": entry(0, 8), "empty": entry(16, 16)}
    cases: dict[Outcome, list[bytes]] = {
        Outcome.CLEAN: [safetensors(good, 16), safetensors({}, 0)],
        Outcome.REVIEW: [
            safetensors(good, 15),
            safetensors(good, 17),
            safetensors({"a": entry(4, 8)}, 8),
            safetensors({"a": entry(0, 8), "b": entry(4, 12)}, 12),
            safetensors({"a": entry(0, 8), "b": entry(0, 8)}, 8),
            safetensors({"a": entry(0, 8, dtype="F99")}, 8),
            safetensors({"a": entry(0, 8, shape=[3])}, 8),
            safetensors({"a": entry(0, 8, shape=[-2])}, 8),
            safetensors({"a": entry(0, 8, extra=1)}, 8),
            safetensors(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},' * 1, 0),
            safetensors(b"{" * 500, 0),
        ],
    }
    for outcome, files in cases.items():
        found = {examined(one, "x.safetensors").outcome for one in files}
        assert found == {outcome}


@pytest.mark.parametrize(
    ("text", "reaches"),
    [
        ("{{ messages[0]['content'] | trim }}", False),
        ("{% for m in messages %}{{ m.role }}{% endfor %}", False),
        ("text about __class__ and eval(x) outside of braces", False),
        ("{{ raise_exception('no') }}{{ strftime_now('%d') }}", False),
        ("{{ ''.__class__ }}", True),
        ("{{ x['__cla' + 'ss__'] }}", True),
        ("{{ x['__cla' 'ss__'] }}", True),
        ("{{ x['\\x5f\\x5fclass\\x5f\\x5f'] }}", True),
        ("{{ x|attr('y') }}", True),
        ("{% set y = cycler['__init__'] %}", True),
        ("{{ ().mro }}", True),
        ("{{ open('/etc/passwd') }}", True),
        ("{% if x.__class__", True),
    ],
)
def test_templates(text: str, reaches: bool) -> None:
    assert bool(template_reaches(text)) is reaches


def test_an_onnx_function_that_calls_itself() -> None:
    def field(number: int, data: bytes) -> bytes:
        key = number << 3 | 2
        head = bytes([key]) if key < 128 else bytes([key & 127 | 128, key >> 7])
        return head + bytes([len(data)]) + data

    node = field(4, b"F") + field(7, b"own")
    model = onnx_model() + field(25, field(1, b"F") + field(10, b"own") + field(7, node))
    assert [one.message for one in examined(model).findings] == ["function F calls itself"]


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (30, b"b", "header and directory name a member differently"),
        (6, b"\x01", "a member claims to be encrypted"),
        (14 + 4, b"\x01", "header and directory give a member different sizes"),
        (-6, b"\x00", ""),
        (-12, b"\x02", "the directory announces another number of members"),
    ],
)
def test_each_contradiction_of_an_archive_is_told(at: int, value: bytes, message: str) -> None:
    plain = bytearray(zipped({"a.txt": b"hello"}))
    assert examined(bytes(plain)).outcome is Outcome.CLEAN
    place = at % len(plain)
    plain[place : place + 1] = value
    found = [one.message for one in examined(bytes(plain)).findings]
    assert not message or message in found
    assert bool(found) is (bytes(plain) != zipped({"a.txt": b"hello"}))


def hdf5(kind: int, body: bytes) -> bytes:
    """A file whose root holds one message of a kind."""
    none = b"\xff" * 8
    front = b"\x89HDF\r\n\x1a\n\x02\x08\x08\0" + bytes(8) + none + bytes(8)
    message = bytes([kind]) + len(body).to_bytes(2, "little") + b"\0" + body
    header = b"OHDR\x02\0" + bytes([len(message)]) + message + bytes(4)
    return front + (48).to_bytes(8, "little") + bytes(4) + header + bytes(64)


def link_to(path: bytes, kind: int = 64) -> bytes:
    value = b"\0" + path + b"\0/a\0"
    return b"\x01\x08" + bytes([kind]) + b"\x01e" + len(value).to_bytes(2, "little") + value


@pytest.mark.parametrize(
    ("data", "rules", "outcome"),
    [
        (hdf5(6, link_to(b"/etc/passwd")), {"HB-V010"}, Outcome.MALICIOUS),
        (hdf5(6, link_to(b"../x.h5")), {"HB-V010"}, Outcome.MALICIOUS),
        (hdf5(6, link_to(b"beside.h5")), {"HB-V016"}, Outcome.REVIEW),
        (hdf5(6, link_to(b"soft", kind=1)), set(), Outcome.CLEAN),
        (hdf5(8, b"\x04\x03" + bytes(20)), {"HB-V016"}, Outcome.REVIEW),
        (hdf5(2, b"\0\0" + bytes(16)), {"HB-V003"}, Outcome.REVIEW),
        (hdf5(6, b"\x01\x00\x01e" + b"\x77" * 8), {"HB-V003"}, Outcome.REVIEW),
        (hdf5(17, b"\x77" * 16), {"HB-V003"}, Outcome.REVIEW),
        (hdf5(0, b"")[:50], {"HB-V003"}, Outcome.REVIEW),
        (hdf5(0, b""), set(), Outcome.CLEAN),
    ],
)
def test_what_an_hdf5_file_takes_from_others(
    data: bytes, rules: set[str], outcome: Outcome
) -> None:
    found = vet(Memory(data), "x.h5")
    assert {one.rule for one in found.findings} == rules
    assert found.outcome is outcome


def test_the_data_of_a_graph_beside_it_is_data() -> None:
    graph = vet(Memory(onnx_model(location="w.bin")), "a/m.onnx")
    data = vet(Memory(bytes(range(1, 200))), "a/w.bin")
    other = vet(Memory(bytes(range(1, 200))), "b/w.bin")
    assert [one.outcome for one in together([graph, data, other])] == [
        Outcome.CLEAN,
        Outcome.CLEAN,
        Outcome.REVIEW,
    ]


def test_a_sentencepiece_model_is_data() -> None:
    def piece(text: bytes, kind: bytes = b"") -> bytes:
        inner = b"\n" + bytes([len(text)]) + text + b"\x15\0\0\x80\xbf" + kind
        return b"\n" + bytes([len(inner)]) + inner

    data = piece(b"<unk>", b"\x18\x02") + piece(b"the") + b"\x12\x03\n\x01x"
    assert examined(data, "spiece.model").kind == "tokenizer"
    assert examined(data, "spiece.model").outcome is Outcome.CLEAN
    assert examined(data[:9], "spiece.model").outcome is Outcome.REVIEW
