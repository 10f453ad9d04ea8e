"""The corpus: nothing malicious is clean, nothing benign is anything else."""

import json
from pathlib import Path

import pytest

from hauberk.testing.vet_corpus import Sample, benign, malicious
from hauberk.vet.finding import Coverage, Outcome
from hauberk.vet.run import vet
from hauberk.vet.source import Memory

MALICIOUS = list(malicious())
BENIGN = list(benign())
DEV = Path(__file__).parents[4] / "shared" / "data" / "malicious-models-dev"
# Malformed or unknown rather than certainly hostile: for review, as their rules say.
REVIEW = {
    "lengths.gguf",
    "native.so",
    "onnx-custom.onnx",
    "onnx-cycle.onnx",
    "onnx-python.onnx",
    "pickle-ext.pkl",
    "pickle-ext4.pkl",
    "pickle-fuzzed-names.pkl",
    "pickle-unknown-loader.pkl",
    "saved_model_read.pb",
    "zip-bomb.zip",
    "zip-very-deep.zip",
    *(one.name for one in MALICIOUS if one.name.startswith("safetensors-")),
}


def outcome(sample: Sample) -> Outcome:
    return vet(Memory(sample.data), sample.name).outcome


@pytest.mark.parametrize("sample", MALICIOUS, ids=lambda one: one.name)
def test_a_malicious_file_is_found(sample: Sample) -> None:
    expected = Outcome.REVIEW if sample.name in REVIEW else Outcome.MALICIOUS
    assert outcome(sample) is expected


@pytest.mark.parametrize("sample", BENIGN, ids=lambda one: one.name)
def test_a_benign_file_is_clean_and_read_in_full(sample: Sample) -> None:
    result = vet(Memory(sample.data), sample.name)
    assert (result.outcome, result.coverage, result.findings) == (
        Outcome.CLEAN,
        Coverage.FULL,
        (),
    )


def test_the_corpus_is_what_the_tests_think() -> None:
    names = [one.name for one in (*MALICIOUS, *BENIGN)]
    assert len(set(names)) == len(names)
    assert set(names) > REVIEW
    assert len(MALICIOUS) > 150
    assert len(BENIGN) > 60


@pytest.mark.skipif(not DEV.exists(), reason="../shared/data is not there")
def test_the_files_of_others() -> None:
    expected = json.loads((DEV / "EXPECTED.json").read_text())
    found = {name: vet(Memory((DEV / name).read_bytes()), name).outcome for name in expected}
    by = {
        truth: {found[name] for name, one in expected.items() if one["truth"] == truth}
        for truth in ("malicious", "benign", "unparsable")
    }
    assert by["malicious"] == {Outcome.MALICIOUS}
    assert Outcome.MALICIOUS not in by["benign"]
    assert by["unparsable"] == {Outcome.REVIEW}
    review = [name for name, one in expected.items() if one["truth"] == "benign"]
    # Only the archive behind a password, which nobody can read, is not clean.
    assert [name for name in review if found[name] is not Outcome.CLEAN] == [
        "benign_password_protected.zip"
    ]
