"""From the end of a job to the event that it is; what is malformed is a failure."""

from typing import Annotated, Any

import msgspec

from hauberk.core.evidence import Verdict
from hauberk.core.ports import Job, JobStatus
from hauberk.loop.events import Event, Failed, Hardened, Judged, Paired

Digest = Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")]


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a ``harden`` job, which may hold further keys."""

    candidate: Digest


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a ``judge`` job; ``calibration`` is of the candidate and the given twin."""

    candidate: Digest
    verdict: Verdict
    policy: Digest
    decision: Digest
    calibration: Digest | None = None
    evidence: tuple[Digest, ...] = ()
    reason: Annotated[str, msgspec.Meta(max_length=4096)] = ""


class Twin(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a ``twin`` job; ``calibration`` is of the candidate and this twin."""

    twin: Digest
    calibration: Digest


def event_of(job: Job, status: JobStatus, *, at: float) -> Event:
    """The event of a job that is no longer running."""
    if status.state != "done":
        return Failed(at=at, job=job.id, reason=status.message[:1000] or "failed without a reason")
    try:
        return _read(job, status.result, at)
    except msgspec.ValidationError as error:
        return Failed(at=at, job=job.id, reason=f"its result cannot be used: {error}")


def _read(job: Job, result: dict[str, Any], at: float) -> Event:
    if job.kind == "harden":
        trained = msgspec.convert(result, Trained)
        return Hardened(at=at, job=job.id, candidate=trained.candidate)
    candidate = job.inputs["candidate"]
    if job.kind == "twin":
        pair = msgspec.convert(result, Twin)
        return Paired(
            at=at, job=job.id, candidate=candidate, twin=pair.twin, calibration=pair.calibration
        )
    judgement = msgspec.convert(result, Judgement)
    if judgement.candidate != candidate:
        return Failed(at=at, job=job.id, reason="another candidate was judged")
    return Judged(
        at=at,
        job=job.id,
        candidate=candidate,
        verdict=judgement.verdict,
        policy=judgement.policy,
        decision=judgement.decision,
        calibration=judgement.calibration,
        evidence=judgement.evidence,
        reason=judgement.reason,
    )
