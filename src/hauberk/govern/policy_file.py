"""A policy as a TOML file: the rules that must hold, their limits, ages and owners."""

from __future__ import annotations

from typing import Annotated

import msgspec

from hauberk.core.errors import ConfigError
from hauberk.core.rule import find_rule
from hauberk.govern.policy import DAY, Policy, Requirement
from hauberk.govern.strict import read_toml

Days = Annotated[float, msgspec.Meta(gt=0.0, le=3660.0)]
Words = Annotated[str, msgspec.Meta(max_length=200)]


class RuleSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One required rule; without ``limit`` the rule's own, without ``max_age_days`` the file's."""

    code: str
    limit: float | None = None
    max_age_days: Days | None = None
    owner: Words = ""


class PolicySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file; ``eps`` is the radius at which robust accuracy binds."""

    eps: Annotated[float, msgspec.Meta(ge=0.0)] | None = None
    max_age_days: Days | None = None
    owner: Words = ""
    rule: tuple[RuleSpec, ...] = ()


def read_policy(data: bytes, *, where: str = "policy.toml") -> Policy:
    """The policy of a TOML text.

    Raises:
        ConfigError: if it is malformed, empty, or a limit is missing.
        UnknownNameError: if there is no rule of a code; the nearest is named.
    """
    spec = read_toml(data, PolicySpec, where=where)
    return Policy(
        requirements=tuple(_requirement(item, spec, where) for item in spec.rule), eps=spec.eps
    )


def _requirement(item: RuleSpec, spec: PolicySpec, where: str) -> Requirement:
    rule = find_rule(item.code)
    if rule.sense == "true" and item.limit is not None:
        raise ConfigError(f"{rule.code} holds or does not; it has no limit", where=where)
    days = item.max_age_days or spec.max_age_days
    return Requirement(
        rule.code,
        None if rule.sense == "true" else item.limit if item.limit is not None else rule.limit,
        None if days is None else days * DAY,
        item.owner or spec.owner,
    )
