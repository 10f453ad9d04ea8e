"""One tree of errors; each says what happened, where, and the next step.

::

    HauberkError                    exit 3   something of ours broke
    ├── UserError                   exit 2   the input is at fault
    │   ├── ConfigError                      hauberk.toml, a flag or a variable
    │   ├── DataError                        a dataset or a request body
    │   ├── ModelFormatError                 a model file that is not what it should be
    │   ├── UnknownNameError                 no component of that name
    │   └── EnvironmentFault                 port in use, disk full, endpoint unreachable
    └── Refused                     exit 1   a policy said no
        ├── Untrusted                        unsigned, altered or revoked
        ├── Denied                           the gate's decision
        └── NoConsent                        the endpoint's owner has not agreed
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class HauberkError(Exception):
    """Base of all errors: ``what`` happened, ``where``, and a ``hint`` for the next step."""

    exit_code = 3

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(f"{where}: {what}" if where else what)


class UserError(HauberkError):
    """The input is at fault; nothing was changed."""

    exit_code = 2


class ConfigError(UserError):
    """A key in ``hauberk.toml``, a flag or an environment variable is wrong."""


class DataError(UserError):
    """A dataset or a batch does not have the declared form."""


class ModelFormatError(UserError):
    """A model file is unreadable, of an unsafe format, or not what it claims to be."""


class UnknownNameError(UserError):
    """No component has that name; the hint names the nearest."""

    def __init__(self, name: str, known: Iterable[str], *, kind: str) -> None:
        choices = sorted(known)
        near = get_close_matches(name, choices, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(choices) or 'none'}"
        super().__init__(f"unknown {kind} {name!r}", hint=hint)


class EnvironmentFault(UserError):
    """The machine said no: a port in use, a full disk, an endpoint that does not answer."""


class Refused(HauberkError):
    """A policy said no; that is a finding, not a fault."""

    exit_code = 1


class Untrusted(Refused):
    """An artefact is unsigned, altered or revoked, and so is not used."""


class Denied(Refused):
    """The gate decided against; the reasons are in the message."""


class NoConsent(Refused):
    """The owner of an endpoint has not consented to being attacked."""
