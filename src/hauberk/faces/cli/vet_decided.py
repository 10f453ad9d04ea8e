"""What people decided about findings: waivers, baselines, VEX, and the record in the ledger."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hauberk import __version__
from hauberk.adapters.local.files import read_file, write_file
from hauberk.core.digest import digest_bytes, digest_file, digest_json
from hauberk.core.errors import ConfigError
from hauberk.core.evidence import Severity
from hauberk.govern.baseline import Old, read_baseline, take_baseline, write_baseline
from hauberk.govern.strict import MAX_FILE
from hauberk.govern.vex import Hole, vex
from hauberk.govern.waivers import expired, find_waiver, read_waivers
from hauberk.vet.excused import excuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hauberk.core.evidence import Evidence
    from hauberk.faces.cli.output import Output
    from hauberk.govern.waivers import Waiver
    from hauberk.vet.finding import Finding, Vetted

_LARGEST = 64 << 20
_WORST = ("fail", "unknown", "pass")


def decided(
    found: Sequence[Vetted], given: Mapping[str, Any], state: Path, output: Output, *, at: float
) -> list[Vetted]:
    """The results with what is excused marked so; writes what else was asked for."""
    digests = {one.path: _digest(one) for one in found}
    waivers = _waivers(given["waivers"])
    for one in expired(waivers, at):
        output.say(f"the waiver of {one.rule} ran out on {one.expires}")
    told = [excuse(file, partial(_let_go, waivers, digests[file.path], at)) for file in found]
    if given["write_baseline"]:
        kept = take_baseline(_old(told, digests), owner=given["owner"], days=given["days"], at=at)
        write_file(given["write_baseline"], write_baseline(kept), mode=0o644)
        output.say(f"wrote {given['write_baseline']}: {len(kept.findings)} findings")
    if given["baseline"]:
        told = _without_old(told, digests, given["baseline"], output, at)
    if given["vex"]:
        document = vex(_holes(told, waivers, digests, at), at=at, version=__version__)
        from hauberk.govern.formats import as_json

        write_file(given["vex"], as_json(document).encode(), mode=0o644)
        output.say(f"wrote {given['vex']}")
    if given["record"]:
        _record(told, digests, state, at)
    return told


def _let_go(waivers: Sequence[Waiver], digest: str, at: float, one: Finding) -> str:
    waiver = find_waiver(waivers, one.rule, digest, at)
    return str(waiver) if waiver else ""


def _old(found: Sequence[Vetted], digests: Mapping[str, str]) -> list[Old]:
    return [
        Old(path=file.path, subject=digests[file.path], rule=one.rule, message=one.message)
        for file in found
        for one in file.findings
        if one.severity is not Severity.CRITICAL and not one.excused
    ]


def _without_old(
    found: Sequence[Vetted], digests: Mapping[str, str], path: Path, output: Output, at: float
) -> list[Vetted]:
    baseline = read_baseline(_read(path), where=str(path))
    if not baseline.holds(at):
        output.say(f"the baseline of {baseline.owner} ran out on {baseline.expires}")
        return list(found)
    known = set(baseline.findings)
    result = []
    for file in found:

        def old(one: Finding, file: Vetted = file) -> str:
            here = Old(
                path=file.path, subject=digests[file.path], rule=one.rule, message=one.message
            )
            return str(baseline) if here in known else ""

        result.append(excuse(file, old))
    return result


def _holes(
    found: Sequence[Vetted], waivers: Sequence[Waiver], digests: Mapping[str, str], at: float
) -> list[Hole]:
    holes = []
    for file in found:
        for trait in sorted(file.traits):
            if not trait.startswith("hole "):
                continue
            _, advisory, package = trait.split(" ", 2)
            name, _, version = package.partition("==")
            detail = next(
                (one.message for one in file.findings if f": {advisory}" in one.message), advisory
            )
            waiver = find_waiver(waivers, "HB-V201", digests[file.path], at)
            holes.append(
                Hole(
                    advisory=advisory,
                    name=name,
                    version=version,
                    detail=detail,
                    where=file.path,
                    waiver=waiver,
                )
            )
    return holes


def _record(found: Sequence[Vetted], digests: Mapping[str, str], state: Path, at: float) -> None:
    """One piece of evidence for each rule that was checked: the worst of all files counts.

    It is about the file's content, or about all of them together.
    """
    from hauberk.adapters.local.home import Home
    from hauberk.govern.decision import evidence_body

    home = Home.open(state)
    told: dict[str, list[Evidence]] = {}
    for file in found:
        for one in _evidence(file, digests[file.path]):
            told.setdefault(one.rule, []).append(one)
    for rule in sorted(told):
        worst = min(told[rule], key=lambda one: _WORST.index(one.verdict.value))
        listed = {one.subject for one in told[rule]}
        subject = worst.subject if len(listed) == 1 else digest_json(sorted(listed))
        one = replace(worst, subject=subject, spec={**worst.spec, "files": len(told[rule])})
        home.ledger.append("evidence", subject, evidence_body(one), at=at)


def _evidence(file: Vetted, digest: str) -> list[Evidence]:
    """A verdict for each rule of the families that apply to such a file."""
    from hauberk.core.evidence import Evidence, Verdict
    from hauberk.core.rule import RULES
    from hauberk.vet.families import rules_of

    told = []
    for code in rules_of(file):
        against = [
            one
            for one in file.findings
            if one.rule == code
            and not one.excused
            and one.severity not in {Severity.INFO, Severity.LOW}
        ]
        verdict = Verdict.FAIL if against else Verdict.PASS
        if not against and file.coverage.value == "partial":
            verdict = Verdict.UNKNOWN
        told.append(
            Evidence(
                rule=code,
                subject=digest,
                verdict=verdict,
                value=None if verdict is Verdict.UNKNOWN else float(not against),
                message=against[0].message if against else f"vetted: {Path(file.path).name}",
                severity=RULES[code].severity,
                atlas=RULES[code].atlas,
                spec={"kind": file.kind},
            )
        )
    return told


def _waivers(path: Path | None) -> tuple[Waiver, ...]:
    return read_waivers(_read(path), where=str(path)) if path else ()


def _digest(file: Vetted) -> str:
    """The digest of a file's content; of the metadata for a package that is installed."""
    path = Path(file.path)
    for one in (path, path / "METADATA", path / "PKG-INFO"):
        if one.is_file():
            return digest_file(one)
    return digest_bytes(file.path.encode())


def _read(path: Path) -> bytes:
    data = read_file(path, limit=_LARGEST if path.suffix == ".json" else MAX_FILE)
    if data is None:
        raise ConfigError("no such file", where=str(path))
    return data
