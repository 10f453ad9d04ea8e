"""Trouble: what can go wrong with a server that runs a model for us."""

from __future__ import annotations

from typing import Literal

from hauberk.core.errors import EnvironmentFault

Kind = Literal["down", "slow", "garbage", "refused", "paused"]


class Trouble(EnvironmentFault):
    """An upstream did not answer as it should.

    ``kind`` is ``down`` (no connection, or it broke), ``slow`` (no whole answer in time),
    ``garbage`` (an answer that cannot be read), ``refused`` (it finds the request at fault) or
    ``paused`` (not asked, since it failed too often just now). ``sent`` is False if the request
    cannot have reached it, so that asking again does nothing twice.
    """

    def __init__(self, kind: Kind, what: str, *, sent: bool = True) -> None:
        super().__init__(what, where="upstream")
        self.kind: Kind = kind
        self.sent = sent
