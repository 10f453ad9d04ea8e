"""The state directory of one service: where each part lives, and the parts themselves."""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from hauberk.adapters.local.deployer import GatewayDeployer
from hauberk.adapters.local.files import create_file, make_folder, read_file
from hauberk.adapters.local.journal import SqliteJournal
from hauberk.adapters.local.ledger import SqliteLedger
from hauberk.adapters.local.pager import FilePager
from hauberk.adapters.local.places import read_places, settle
from hauberk.adapters.local.records import RecordLog
from hauberk.adapters.local.signer import Ed25519Signer
from hauberk.adapters.local.store import LocalStore
from hauberk.adapters.local.trainer import ProcessTrainer
from hauberk.adapters.local.trust import Trust
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import ConfigError
from hauberk.core.spec import ClientSpec, Spec, StateSpec, load_spec

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.adapters.sql.journal import SqlJournal
    from hauberk.adapters.sql.ledger import SqlLedger
    from hauberk.core.ports import Store

_MAX_TOKEN = 512


@dataclass(frozen=True)
class Home:
    """Everything that one service keeps: below ``folder``, or where that says it is kept."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, state: StateSpec = StateSpec()) -> Home:  # noqa: B008 - frozen
        """Make the directory, its signing key and its operator's token where they are missing.

        Raises:
            ConfigError: if its ledger or its blobs are kept elsewhere than ``state`` says.
            EnvironmentFault: if the directory cannot be written.
        """
        home = cls(folder)
        make_folder(folder)
        settle(folder, state)
        Ed25519Signer.create(folder / "keys")
        create_file(home._token_file, secrets.token_urlsafe(32).encode())
        return home

    @classmethod
    def open(cls, folder: Path) -> Home:
        """The home of a service that was set up.

        Raises:
            ConfigError: if none was.
        """
        home = cls(folder)
        if not home.exists:
            raise home._missing()
        return home

    def placed(self, state: StateSpec) -> Home:
        """The same home, its ledger and blobs where ``state`` says.

        Raises:
            ConfigError: if it has them elsewhere already, or was not set up.
        """
        if not self.exists:
            raise self._missing()
        settle(self.folder, state)
        return Home(self.folder)

    @property
    def exists(self) -> bool:
        """Whether a service was set up here."""
        return self._token_file.is_file()

    @cached_property
    def spec(self) -> Spec:
        """The spec that the service was set up with.

        Raises:
            ConfigError: if there is none, or it is wrong.
        """
        return load_spec(self.folder / "hauberk.toml")

    @cached_property
    def places(self) -> StateSpec:
        """Where ledger and blobs are kept."""
        return read_places(self.folder)

    @cached_property
    def store(self) -> Store:
        """Blobs."""
        here = LocalStore(self.folder / "store")
        if url := self.places.blobs:
            from hauberk.adapters.s3.store import S3Store  # noqa: PLC0415 - of an extra

            return S3Store(url, cache=here)
        return here

    @cached_property
    def ledger(self) -> SqlLedger:
        """The ledger."""
        if url := self.places.ledger:
            from hauberk.adapters.postgres.ledger import PostgresLedger  # noqa: PLC0415

            return PostgresLedger(url)
        return SqliteLedger(self.folder / "ledger.db")

    @cached_property
    def journal(self) -> SqlJournal:
        """The loop's turns."""
        if url := self.places.ledger:
            from hauberk.adapters.postgres.journal import PostgresJournal  # noqa: PLC0415

            return PostgresJournal(url)
        return SqliteJournal(self.folder / "ledger.db")

    @cached_property
    def signer(self) -> Ed25519Signer:
        """Keys."""
        return Ed25519Signer(self.folder / "keys")

    @cached_property
    def trust(self) -> Trust:
        """What may be served."""
        return Trust(self.store, self.ledger, self.signer)

    @cached_property
    def records(self) -> RecordLog:
        """The gateway's tap."""
        return RecordLog(self.folder / "records")

    @cached_property
    def pager(self) -> FilePager:
        """Pages to a person."""
        return FilePager(self.folder / "pages.jsonl")

    @cached_property
    def deployer(self) -> GatewayDeployer:
        """The gateway's control endpoint."""
        return GatewayDeployer(self.folder, self.operator_token)

    @cached_property
    def trainer(self) -> ProcessTrainer:
        """Jobs in processes of their own, by the spec that the controller left for them."""
        command = (sys.executable, "-m", "hauberk", "work")
        where = ("--config", str(self.orders), "--state", str(self.folder))
        return ProcessTrainer(self.folder / "jobs", (*command, *where))

    @property
    def orders(self) -> Path:
        """The spec by which jobs work; the controller writes it."""
        return self.folder / "jobs" / "hauberk.toml"

    @property
    def operator_token(self) -> str:
        """The operator's bearer token.

        Raises:
            ConfigError: if the directory was never set up.
        """
        data = read_file(self._token_file, limit=_MAX_TOKEN)
        if data is None:
            raise self._missing()
        return data.decode("ascii", "replace").strip()

    @property
    def operator(self) -> ClientSpec:
        """The operator as a client of the gateway; only the token's digest is in it."""
        return ClientSpec(
            name="operator",
            token_sha256=digest_bytes(self.operator_token.encode()),
            role="operator",
        )

    @property
    def _token_file(self) -> Path:
        return self.folder / "operator.token"

    def _missing(self) -> ConfigError:
        return ConfigError(
            "no service was set up here",
            where=str(self.folder),
            hint="`hauberk models register FILE` sets one up",
        )
