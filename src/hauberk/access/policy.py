"""Policy: who may do what to which model with which class of data; what is not permitted is not.

:class:`Cedar` evaluates policies in the Cedar language (Cutler et al. 2024, Cedar: a new language
for expressive, fast, safe, and analyzable authorization); :class:`Roles` stands in without any.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import msgspec

from hauberk.access.principal import ACTIONS
from hauberk.core.errors import ConfigError

if TYPE_CHECKING:
    from hauberk.access.principal import Action, Principal

SCHEMA = """
entity Tenant;
entity Client in [Tenant] {
  name: String, role: String, tenant: String, scopes: Set<String>, by: String,
};
entity Model { name: String, data_class: String };
""" + "".join(
    f'action "{action}" appliesTo {{ principal: [Client], resource: [Model], context: {{}} }};\n'
    for action in ACTIONS
)
_MAX_TEXT, _REMEMBERED = 1 << 20, 65536


class Ruling(msgspec.Struct, frozen=True):
    """What a policy says, and the id of the one that decided."""

    allowed: bool
    policy: str


class Target(msgspec.Struct, frozen=True):
    """What is asked for: a model and the class of the data that it is sent."""

    model: str
    data_class: str = "internal"


class Policy(Protocol):
    """Rules on a principal, an action and a target."""

    def rule(self, principal: Principal, action: Action, target: Target) -> Ruling:
        """What the rules say; any error within them is a no."""


def in_scope(principal: Principal, action: Action) -> bool:
    """Whether the principal's own scopes leave it the action."""
    return principal.scopes is None or action in principal.scopes


@dataclass(frozen=True)
class Roles:
    """Clients read and infer, operators do everything."""

    def rule(self, principal: Principal, action: Action, target: Target) -> Ruling:
        """What the role says; all models and classes of data are alike to it."""
        del target
        if not in_scope(principal, action):
            return Ruling(allowed=False, policy="scope")
        return _by_role(principal.role, action)


@cache
def _by_role(role: str, action: Action) -> Ruling:
    allowed = role == "operator" or action in ("read", "infer")
    return Ruling(allowed=allowed, policy=f"role:{role}")


class Cedar:
    """Cedar policies, checked against :data:`SCHEMA`; each names itself by ``@id``.

    Entities are ``Client`` (``name``, ``role``, ``tenant``, ``scopes``, ``by``) within ``Tenant``,
    and ``Model`` (``name``, ``data_class``). A ruling depends on nothing else, so it is remembered.

    Raises:
        ConfigError: if the text is empty, does not fit the schema, or an id is missing or twice
            there; or if cedarpy is not installed.
    """

    def __init__(self, text: str, *, where: str = "access.policy") -> None:
        try:
            import cedarpy  # noqa: PLC0415 - of an extra
        except ImportError:
            raise ConfigError(
                "Cedar is not installed", where=where, hint="pip install 'hauberk[access]'"
            ) from None
        if len(text) > _MAX_TEXT:
            raise ConfigError(f"longer than {_MAX_TEXT} letters", where=where)
        self._cedar, self._ids = cedarpy, _ids(cedarpy, text, where)
        try:
            self._policies = cedarpy.PolicySet.from_str(text)
            self._schema = cedarpy.Schema.from_str(SCHEMA)
            checked = cedarpy.validate_policies(text, SCHEMA)
        except ValueError as error:
            raise ConfigError(_line(str(error)), where=where) from None
        if not checked.validation_passed:
            raise ConfigError(_line(str(checked.errors[0])), where=where)
        self._seen: OrderedDict[tuple[object, ...], Ruling] = OrderedDict()
        self._lock = Lock()

    def rule(self, principal: Principal, action: Action, target: Target) -> Ruling:
        """What the policies say; ``default`` decides where none applies."""
        if not in_scope(principal, action):
            return Ruling(allowed=False, policy="scope")
        key = (principal, action, target)
        with self._lock:
            known = self._seen.get(key)
        if known is None:
            known = self._evaluate(principal, action, target)
            with self._lock:
                self._seen[key] = known
                if len(self._seen) > _REMEMBERED:
                    self._seen.popitem(last=False)
        return known

    def _evaluate(self, principal: Principal, action: Action, target: Target) -> Ruling:
        request = {
            "principal": {"type": "Client", "id": principal.name},
            "action": {"type": "Action", "id": action},
            "resource": {"type": "Model", "id": target.model},
            "context": {},
        }
        try:
            answer = self._cedar.is_authorized(
                request, self._policies, _entities(principal, target), self._schema
            )
        except Exception:  # whatever it is, it is no permission
            return Ruling(allowed=False, policy="error")
        if answer.diagnostics.errors:
            return Ruling(allowed=False, policy="error")
        deciding = [self._ids.get(reason, reason) for reason in answer.diagnostics.reasons]
        return Ruling(allowed=answer.allowed, policy=min(deciding, default="default"))


def _entities(principal: Principal, target: Target) -> str:
    scopes = sorted(ACTIONS if principal.scopes is None else principal.scopes)
    client = {
        "uid": {"type": "Client", "id": principal.name},
        "attrs": {
            "name": principal.name,
            "role": principal.role,
            "tenant": principal.tenant,
            "scopes": scopes,
            "by": principal.by,
        },
        "parents": [{"type": "Tenant", "id": principal.tenant}],
    }
    model = {
        "uid": {"type": "Model", "id": target.model},
        "attrs": {"name": target.model, "data_class": target.data_class},
        "parents": [],
    }
    tenant = {"uid": {"type": "Tenant", "id": principal.tenant}, "attrs": {}, "parents": []}
    return json.dumps([client, model, tenant])


def _ids(cedarpy: object, text: str, where: str) -> dict[str, str]:
    """The ids that the policies give themselves, by the ids that the parser gives them."""
    try:
        tree = json.loads(cedarpy.policies_to_json_str(text))  # type: ignore[attr-defined]
    except ValueError as error:
        raise ConfigError(_line(str(error)), where=where) from None
    found = {
        name: (policy.get("annotations") or {}).get("id") or ""
        for name, policy in tree.get("staticPolicies", {}).items()
    }
    if not found:
        raise ConfigError("there is no policy in it, so nobody could do anything", where=where)
    if not all(found.values()) or len(set(found.values())) < len(found):
        raise ConfigError('each policy needs an @id("…") of its own', where=where)
    return found


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
