from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("cedarpy", reason="the access extra is not installed")

from hauberk.access.policy import Cedar, Roles, Target
from hauberk.access.principal import ACTIONS, Action, Principal
from hauberk.core.errors import ConfigError

POLICIES = """
@id("acme-asks") permit(principal in Tenant::"acme", action in [Action::"read", Action::"infer"],
  resource == Model::"m") when { resource.data_class == "internal" };
@id("operators") permit(principal, action, resource) when { principal.role == "operator" };
@id("no-secrets") forbid(principal, action == Action::"infer", resource)
  when { resource.data_class == "secret" };
"""
ANN = Principal("ann", "client", "acme")
EVE = Principal("eve", "client", "other")
OLGA = Principal("olga", "operator", "acme")
INTERNAL, SECRET = Target("m", "internal"), Target("m", "secret")


@pytest.mark.parametrize(
    ("who", "action", "target", "allowed", "policy"),
    [
        (ANN, "infer", INTERNAL, True, "acme-asks"),
        (ANN, "read", INTERNAL, True, "acme-asks"),
        (ANN, "control", INTERNAL, False, "default"),
        (ANN, "infer", Target("other"), False, "default"),
        (ANN, "infer", SECRET, False, "no-secrets"),
        (EVE, "infer", INTERNAL, False, "default"),
        (OLGA, "control", INTERNAL, True, "operators"),
        (OLGA, "infer", SECRET, False, "no-secrets"),
        (Principal("o", "operator", "x", frozenset({"read"})), "load", INTERNAL, False, "scope"),
        (Principal('a"] || true //', "client", 'acme" }'), "infer", INTERNAL, False, "default"),
        (Principal("a\nb", "client", "acme"), "infer", INTERNAL, True, "acme-asks"),
    ],
)
def test_who_may_do_what_and_which_policy_said_so(
    who: Principal, action: Action, target: Target, allowed: bool, policy: str
) -> None:
    cedar = Cedar(POLICIES)
    for _ in range(2):  # worked out, and remembered
        ruling = cedar.rule(who, action, target)
        assert (ruling.allowed, ruling.policy) == (allowed, policy)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no policy"),
        ("// nothing", "no policy"),
        ("permit(", "."),
        ("permit(principal, action, resource);", "@id"),
        ('@id("a") permit(principal, action, resource);' * 2, "@id"),
        ('@id("a") permit(principal, action, resource) when { principal.rol == "x" };', "rol"),
        ('@id("a") permit(principal, action == Action::"fly", resource);', "fly"),
        ("x" * (2 << 20), "longer"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        Cedar(text)
    assert "\n" not in str(caught.value)


def test_an_error_in_a_policy_is_a_no() -> None:
    overflow = f"{2**62} + {2**62} + {2**62}"
    text = (
        '@id("open") permit(principal, action, resource);'
        f'@id("broken") forbid(principal, action, resource) when {{ {overflow} > 0 }};'
    )
    ruling = Cedar(text).rule(OLGA, "read", INTERNAL)
    assert (ruling.allowed, ruling.policy) == (False, "error")


def test_a_crash_of_the_evaluator_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    cedar = Cedar(POLICIES)

    def crash(*_: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(cedar._cedar, "is_authorized", crash)
    assert not cedar.rule(OLGA, "read", INTERNAL).allowed


def test_without_policies_roles_decide() -> None:
    allowed = {
        (who.role, action): Roles().rule(who, action, SECRET).allowed
        for who in (ANN, OLGA)
        for action in ACTIONS
    }
    assert {key for key, value in allowed.items() if not value} == {
        ("client", "load"),
        ("client", "control"),
    }
    assert not Roles().rule(Principal("x", scopes=frozenset({"read"})), "infer", SECRET).allowed
