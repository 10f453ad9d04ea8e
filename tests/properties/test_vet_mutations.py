"""Ten thousand mutated files: nothing crashes, hangs, runs or writes."""

import random
import sys
import time

import pytest

from hauberk.testing.vet_corpus import corpus
from hauberk.vet.run import vet
from hauberk.vet.source import Memory

FORBIDDEN = {
    "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect", "os.remove",
    "pickle.find_class", "os.rename", "os.mkdir", "os.symlink", "shutil.rmtree",
}  # fmt: skip
NUMBERS = (b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f")
watching = False
seen: list[str] = []


def watch(event: str, args: tuple[object, ...]) -> None:
    """Note what must not happen while a file is vetted; a hook stays for the whole process."""
    if not watching:
        return
    mode = args[1] if event == "open" and len(args) > 1 else ""
    if event in FORBIDDEN or (isinstance(mode, str) and set(mode) & set("wax+")):
        seen.append(event)


def mutated(rng: random.Random, data: bytes, other: bytes) -> bytes:
    raw = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = rng.randrange(len(raw) + 1)
        kind = rng.randrange(6)
        if kind == 0:
            raw[at : at + 1] = rng.randbytes(1)
        elif kind == 1:
            del raw[at : at + rng.choice([1, 2, 8, 100])]
        elif kind == 2:
            raw[at:at] = rng.randbytes(rng.choice([1, 4, 30]))
        elif kind == 3:
            raw[at : at + 4] = rng.choice(NUMBERS)
        elif kind == 4:
            start = rng.randrange(len(other) + 1)
            raw[at:at] = other[start : start + rng.choice([10, 100, 1000])]
        else:
            length = rng.choice([1, 10, 100])
            raw[at : at + length] *= rng.choice([2, 50])
    return bytes(raw)


def check(count: int, seed: int) -> None:
    global watching  # noqa: PLW0603 - an audit hook cannot be taken back, only told to look away
    rng = random.Random(seed)
    samples = [one for one in corpus() if len(one.data) < 400_000]
    sys.addaudithook(watch)
    for _ in range(count):
        sample, other = rng.choice(samples), rng.choice(samples)
        data = mutated(rng, sample.data, other.data)
        watching, start = True, time.process_time()
        try:
            result = vet(Memory(data), sample.name)
        finally:
            watching = False
        assert time.process_time() - start < 5.0, sample.name
        assert not [one for one in result.findings if "examiner failed" in one.message]
    assert seen == []


def test_some_mutated_files() -> None:
    check(400, seed=0)


@pytest.mark.nightly
def test_ten_thousand_mutated_files() -> None:
    check(10_000, seed=1)


def test_the_hook_would_see_a_write(tmp_path: object) -> None:
    global watching  # noqa: PLW0603
    from pathlib import Path

    sys.addaudithook(watch)
    watching = True
    try:
        Path(str(tmp_path), "x").write_text("x")
    finally:
        watching = False
    assert "open" in seen
    seen.clear()
