"""Vetting: what is found and what is wrongly flagged, side by side with other scanners; then time
and memory on large files. Peers are taken from the PATH and said to be absent where they are not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.table import Row, at_least, at_most, conditions, publish
from benchmarks.vet_files import large, tiny, twins
from hauberk.testing.vet_corpus import corpus

PEERS = ("picklescan", "modelscan", "fickling")
# What each of them reads as a format; over other files they say clean without a look.
OPENS = {
    "picklescan": {".pt", ".pkl", ".joblib", ".npy"},
    "modelscan": {".pt", ".pkl", ".joblib", ".npy", ".h5"},
    "fickling": {".pt", ".pkl", ".joblib"},
}
SIZE, COUNT, PATIENCE = 500 << 20, 200_000, 60.0
DEV = Path(__file__).parents[2] / "shared" / "data" / "malicious-models-dev"
Said = dict[str, tuple[str, float]]


def main() -> int:
    rows: list[Row] = []
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="vet-") as name:
        folder = Path(name)
        truth = _files(folder / "corpus")
        mine = _ours(list(truth))
        peers = {peer: _peer(peer, list(truth), versions) for peer in PEERS}
        rows += _detection(truth, mine, peers)
        (folder / "large").mkdir()
        blind = _blind(twins(folder / "large"), peers)
        for path in large(folder / "large", SIZE):
            rows.append(_timed(path, 2.0, peers, blind))
            path.unlink()
        for path in tiny(folder / "large", COUNT):
            rows.append(_timed(path, 3.0, peers, blind))
            path.unlink()
        small = next(path for path in truth if path.endswith("tree-4.pkl"))
        rows.append(_timed(Path(small), 0.2, peers, blind))
    facts = conditions(corpus=len(truth), large_bytes=SIZE, tiny_tensors=COUNT, **versions)
    return publish("vet", facts, rows)


def _files(folder: Path) -> dict[str, bool]:
    """The corpus on disk: path -> whether it is malicious."""
    truth = {}
    folder.mkdir(parents=True)
    for sample in corpus():
        path = folder / sample.name
        path.write_bytes(sample.data)
        truth[str(path)] = sample.malicious
    if DEV.exists():
        for name, one in json.loads((DEV / "EXPECTED.json").read_text()).items():
            if one["truth"] != "unparsable":
                truth[str(DEV / name)] = one["truth"] == "malicious"
    return truth


def _ours(paths: list[str]) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "hauberk", "vet", "--quiet", "--format", "json", "-"],
        input="\n".join(paths), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {one["path"]: one["verdict"] for one in json.loads(done.stdout)["files"]}


def _peer(
    peer: str, paths: list[str], versions: dict[str, str], seconds: float = 900
) -> Said | None:
    script = shutil.which(peer)
    python = Path(script).parent / "python" if script else None
    if python is None or not python.exists():
        versions[peer] = "not installed"
        return None
    driver = str(Path(__file__).parent / "vet_peers.py")
    try:
        done = subprocess.run(
            [str(python), driver, peer],
            input="\n".join(paths),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={**os.environ, "PYTHONPATH": ""},
        )
        told = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return dict.fromkeys(paths, ("error", seconds))
    versions[peer] = told["version"]
    return {path: (said, took) for path, (said, took) in told["files"].items()}


def _detection(
    truth: dict[str, bool], mine: dict[str, str], peers: dict[str, Said | None]
) -> list[Row]:
    bad = [path for path, malicious in truth.items() if malicious]
    good = [path for path, malicious in truth.items() if not malicious]
    ours = Counter(mine[path] for path in bad)
    wrong = Counter(mine[path] for path in good)
    rows = [
        at_most("malicious called clean, of all malicious", ours["clean"] / len(bad), 0.0),
        at_most("benign called malicious, of all benign", wrong["malicious"] / len(good), 0.0),
        at_most("benign for review, of all benign", wrong["review"] / len(good), 0.1),
        at_least("malicious called malicious, of all", ours["malicious"] / len(bad), 0.8),
    ]
    for peer, said in peers.items():
        if said is None:
            rows.append(Row(id=f"{peer}: not installed", measured=None))
            continue
        missed = sum(said[path][0] == "clean" for path in bad) / len(bad)
        errors = sum(said[path][0] == "error" for path in bad) / len(bad)
        wrongly = sum(said[path][0] == "flagged" for path in good) / len(good)
        only = sum(said[path][0] == "flagged" and mine[path] == "clean" for path in bad)
        rows += [
            Row(id=f"malicious clean by {peer}", measured=ours["clean"] / len(bad), peer=missed),
            Row(id=f"malicious not opened by {peer}", measured=0.0, peer=errors),
            Row(id=f"benign flagged by {peer}", measured=wrong["malicious"] / len(good),
                peer=wrongly),
            at_most(f"found by {peer} and not by us", float(only), 0.0),
        ]  # fmt: skip
    return rows


def _blind(twins: dict[str, Path], peers: dict[str, Said | None]) -> set[tuple[str, str]]:
    """Which scanner misses the call at the end of which kind of file."""
    missed = set()
    for peer, said in peers.items():
        told = _peer(peer, [str(path) for path in twins.values()], {}) if said is not None else None
        for name, path in twins.items():
            if told is not None and told[str(path)][0] != "flagged":
                missed.add((peer, name))
    return missed


def _timed(
    path: Path, target: float, peers: dict[str, Said | None], blind: set[tuple[str, str]]
) -> Row:
    """Start to verdict, best of a few, beside the fastest scanner that really opens the file."""
    best = min(_wall([sys.executable, "-m", "hauberk", "vet", "-q", str(path)]) for _ in range(3))
    memory = _memory(path)
    others = []
    for peer, said in peers.items():
        if said is None or path.suffix not in OPENS[peer] or (peer, path.name) in blind:
            continue
        for _ in range(3):
            start = time.perf_counter()
            told = _peer(peer, [str(path)], {}, PATIENCE)
            took = time.perf_counter() - start
            if told and told[str(path)][0] != "error":
                others.append(took)
            if took > 2.0 or not others:
                break  # once will do
    fastest = min(others, default=None)
    return Row(
        id=f"{path.name}, seconds ({memory:.0f} MB)",
        measured=best,
        peer=fastest,
        ratio=best / fastest if fastest else None,
        target=f"<= {target:g} s",
        holds=best <= target and memory < 100,
    )


def _wall(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - start


def _memory(path: Path) -> float:
    """The peak of the process in MB, told by itself: a child would inherit its parent's."""
    code = (
        "import sys; from hauberk.faces.cli.main import run; run(['vet', '-q', sys.argv[1]]); "
        "text = open('/proc/self/status').read(); print(text.split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
