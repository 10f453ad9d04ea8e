import bz2
import gzip
import hashlib
import io
import json
import lzma
import pickle
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as save_tensors

from hauberk.adapters.models.formats import Format, recognise, require
from hauberk.core.errors import ModelFormatError
from hauberk.testing.toy_onnx import linear_onnx

DATA = Path(__file__).parents[4] / "shared" / "data"
LET_IN = (Format.SAFETENSORS, Format.ONNX)
ONNX = linear_onnx(np.ones((4, 2), dtype=np.float32), shape=(4,))
TENSORS = save_tensors({"w": np.ones((3, 2), dtype=np.float32)})
PICKLES = {protocol: pickle.dumps({"w": [1.0, 2.0]}, protocol=protocol) for protocol in range(6)}


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def torch_file(*, legacy: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(2)}, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("pickle")
        info.size = len(PICKLES[2])
        archive.addfile(info, io.BytesIO(PICKLES[2]))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(ONNX, Format.ONNX, id="onnx"),
        pytest.param(TENSORS, Format.SAFETENSORS, id="safetensors"),
        *(pytest.param(data, Format.PICKLE, id=f"pickle-{p}") for p, data in PICKLES.items()),
        pytest.param(torch_file(legacy=False), Format.PICKLE, id="torch-zip"),
        pytest.param(torch_file(legacy=True), Format.PICKLE, id="torch-legacy"),
        pytest.param(zipped(archive_format=b"pt2"), Format.EXPORTED, id="torch-export"),
        pytest.param(zipped(weights__h5=b"x"), Format.ARCHIVE, id="zip"),
        pytest.param(b"PK\x03\x04 cut short", Format.ARCHIVE, id="damaged-zip"),
        pytest.param(tarred(), Format.ARCHIVE, id="tar"),
        pytest.param(gzip.compress(PICKLES[2]), Format.COMPRESSED, id="gzip"),
        pytest.param(bz2.compress(PICKLES[2]), Format.COMPRESSED, id="bzip2"),
        pytest.param(lzma.compress(PICKLES[2]), Format.COMPRESSED, id="xz"),
        pytest.param(zlib.compress(PICKLES[2]), Format.COMPRESSED, id="zlib-as-joblib"),
        pytest.param(b"\x89HDF\r\n\x1a\n" + bytes(64), Format.FOREIGN, id="hdf5"),
        pytest.param(b"GGUF" + bytes(64), Format.FOREIGN, id="gguf"),
        pytest.param(b"no model at all", Format.UNKNOWN, id="text"),
        pytest.param(bytes(64), Format.UNKNOWN, id="zeros"),
    ],
)
def test_the_content_says_the_format(data: bytes, expected: Format) -> None:
    assert recognise(data) is expected
    if expected in LET_IN:
        assert require(data, *LET_IN, where="m") is expected
    else:
        with pytest.raises(ModelFormatError, match="HB-S004"):
            require(data, *LET_IN, where="m")


@pytest.mark.parametrize("carrier", [ONNX, TENSORS], ids=["onnx", "safetensors"])
def test_an_archive_behind_another_file_is_seen(carrier: bytes) -> None:
    assert recognise(carrier + zipped(data__pkl=PICKLES[2])) is Format.PICKLE


def test_a_header_length_that_spells_a_magic_stays_safetensors() -> None:
    """The first bytes are a length: 'PK', a pickle's mark and 'BZh' may all come up by chance."""
    for wanted in (0x4B50, 0x0480, 0x685A42 & 0xFFFF):
        header = json.dumps({"__metadata__": {"note": "n" * (wanted - 30)}}).encode()
        header += b" " * (wanted - len(header))
        assert len(header) == wanted
        assert recognise(wanted.to_bytes(8, "little") + header) is Format.SAFETENSORS


def test_empty_and_oversized_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelFormatError, match="empty"):
        require(b"", *LET_IN, where="m")
    monkeypatch.setattr("hauberk.adapters.models.formats.MAX_BYTES", len(TENSORS) - 1)
    with pytest.raises(ModelFormatError, match="more than"):
        require(TENSORS, *LET_IN, where="m")


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    assert recognise(data) in Format


@settings(deadline=None, max_examples=40)
@given(
    st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=8), st.integers(0, 5)
)
def test_every_pickle_is_refused(value: object, protocol: int) -> None:
    with pytest.raises(ModelFormatError, match="HB-S004"):
        require(pickle.dumps(value, protocol=protocol), *LET_IN, where="m")


def test_every_known_malicious_file_is_refused() -> None:
    folder = DATA / "malicious-models-dev"
    if not folder.is_dir():
        pytest.skip("../shared/data/malicious-models-dev is absent")
    expected = json.loads((folder / "EXPECTED.json").read_text())
    for name, facts in expected.items():
        data = (folder / name).read_bytes()
        assert facts["sha256"] == hashlib.sha256(data).hexdigest()
        with pytest.raises(ModelFormatError, match="HB-S004"):
            require(data, *LET_IN, where=name)
