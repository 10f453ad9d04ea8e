"""Other scanners over a list of files, run by their own interpreter: one JSON object on stdout.

Usage: ``python vet_peers.py NAME < paths``. Each file is ``flagged``, ``clean`` or ``error``, with
the seconds it took; a scanner's error or skip is not counted as clean.
"""

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path


def picklescan(path: str) -> str:
    from picklescan.scanner import scan_file_path  # type: ignore[import-not-found]  # noqa: PLC0415

    found = scan_file_path(path)
    if found.infected_files or found.issues_count:
        return "flagged"
    return "error" if found.scan_err or not found.scanned_files else "clean"


def modelscan(path: str) -> str:
    from modelscan.modelscan import ModelScan  # type: ignore[import-not-found]  # noqa: PLC0415

    found = ModelScan().scan(Path(path))
    if found["issues"]:
        return "flagged"
    skipped = found["errors"] or found["summary"]["skipped"]["total_skipped"]
    return "error" if skipped or not found["summary"]["scanned"]["total_scanned"] else "clean"


def fickling(path: str) -> str:
    from fickling.analysis import (  # type: ignore[import-not-found]  # noqa: PLC0415
        Severity,
        check_safety,
    )
    from fickling.fickle import StackedPickle  # type: ignore[import-not-found]  # noqa: PLC0415

    with Path(path).open("rb") as file:
        for pickled in StackedPickle.load(file):
            if check_safety(pickled).severity > Severity.LIKELY_SAFE:
                return "flagged"
    return "clean"


def main() -> None:
    name = sys.argv[1]
    check = {"picklescan": picklescan, "modelscan": modelscan, "fickling": fickling}[name]
    files: dict[str, list[str | float]] = {}
    for line in sys.stdin:
        path = line.rstrip("\n")
        start = time.perf_counter()
        try:
            said = check(path)
        except BaseException:  # scanners call sys.exit as well
            said = "error"
        files[path] = [said, round(time.perf_counter() - start, 4)]
    told = json.dumps({"version": version(name), "files": files})
    os.write(_RESULT, told.encode())


if __name__ == "__main__":
    _RESULT = os.dup(1)  # what the scanners print must not mix with the result
    os.dup2(2, 1)
    main()
