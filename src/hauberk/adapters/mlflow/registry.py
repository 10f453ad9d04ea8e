"""Models in an MLflow registry: read without unpickling, entered with their evidence, by alias."""

from __future__ import annotations

import json
import os
import re
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from hauberk.core.digest import digest_bytes, short
from hauberk.core.errors import ConfigError, EnvironmentFault, ModelFormatError, Untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHAMPION, CHALLENGER = "champion", "challenger"
DIGEST = "hauberk.digest"
"""The tag of a version that names the content, so that the same model is entered once."""
_URI = re.compile(r"models:/([^/@:]{1,256})(?:@([A-Za-z0-9_-]{1,256})|/(\d{1,9}))\Z")
_EXPERIMENT = "hauberk"
_MAX_TEXT, _MAX_MODEL, _MAX_VERSIONS = 1 << 20, 4 * 2**30, 1000
_SAFE = (".onnx", ".safetensors")


@dataclass(frozen=True)
class Fetched:
    """A model's file as the registry has it; nothing vouches for it but the registry."""

    name: str
    version: str
    file: str
    data: bytes
    digest: str


@dataclass(frozen=True)
class MlflowRegistry:
    """A registry at an MLflow server; credentials are those that MLflow's client looks for.

    In the clear it is spoken to on this machine alone, unless ``insecure``.

    Raises:
        ConfigError: if the URL is none of these, or the client is not installed.
    """

    url: str
    insecure: bool = False
    _client: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _may_speak(self.url, insecure=self.insecure):
            raise ConfigError(
                "not an https URL of an MLflow server",
                where="mlflow",
                hint="http is for this machine; --insecure allows it elsewhere",
            )
        # MLflow's client tells its makers how it is used unless told not to.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        try:
            from mlflow import MlflowClient  # noqa: PLC0415 - of an extra
        except ImportError:
            raise ConfigError(
                "MLflow's client is not installed",
                where="mlflow",
                hint="pip install 'hauberk[mlflow]'",
            ) from None
        client = MlflowClient(tracking_uri=self.url, registry_uri=self.url)
        object.__setattr__(self, "_client", client)

    def fetch(self, uri: str) -> Fetched:
        """The file of ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``: ONNX or safetensors.

        A flavour that is loaded by unpickling, as most are, is refused, whatever else is beside it
        in the same folder but for the file of the ONNX flavour.

        Raises:
            ConfigError: if it is no such URI.
            ModelFormatError: if there is no file of a safe format, or it is too large.
            EnvironmentFault: if the server does not answer, or has no such model.
        """
        found = _URI.match(uri)
        if not found:
            raise ConfigError(
                f"not a model: {uri[:80]!r}", where="mlflow", hint="models:/NAME@ALIAS"
            )
        name, alias, number = found.groups()
        with self._faults(uri):
            version = (
                self._client.get_model_version_by_alias(name, alias)
                if alias
                else self._client.get_model_version(name, number)
            )
            place = self._client.get_model_version_download_uri(name, version.version)
        file = self._safe_file(place, uri)
        data = self._read(f"{place}/{file}", limit=_MAX_MODEL)
        return Fetched(name, str(version.version), file, data, digest_bytes(data))

    def enter(self, name: str, model: bytes, *, facts: Mapping[str, Any]) -> str:
        """Enter an ONNX model as a version, with its evidence beside it; the version's number.

        ``facts`` become ``evidence.json``. The same content again gives the version that it has.

        Raises:
            EnvironmentFault: if the server does not answer or refuses.
        """
        digest = digest_bytes(model)
        if (known := self.version_of(name, digest)) is not None:
            return known
        with self._faults(name), tempfile.TemporaryDirectory(prefix="hauberk-mlflow-") as folder:
            place = Path(folder)
            (place / "model.onnx").write_bytes(model)
            (place / "MLmodel").write_text(_about(digest))
            (place / "evidence.json").write_text(json.dumps(facts, indent=2, sort_keys=True))
            experiment = self._experiment()
            run = self._client.create_run(experiment, run_name=f"hauberk-{short(digest)}")
            run_id = run.info.run_id
            self._client.log_artifacts(run_id, folder, artifact_path="model")
            self._client.set_terminated(run_id)
            self._ensure_model(name)
            version = self._client.create_model_version(
                name,
                source=f"{run.info.artifact_uri}/model",
                run_id=run_id,
                tags={DIGEST: digest},
            )
        return str(version.version)

    def point(self, name: str, alias: str, digest: str | None) -> None:
        """Let an alias name the version of a digest; None takes the alias away.

        Raises:
            EnvironmentFault: if the server does not answer, or has no version of that digest.
        """
        with self._faults(name):
            if digest is None:
                if alias in self.aliases(name):
                    self._client.delete_registered_model_alias(name, alias)
                return
        version = self.version_of(name, digest)
        if version is None:
            raise EnvironmentFault(f"no version of {short(digest)}", where=f"mlflow: {name}")
        with self._faults(name):
            if str(self.aliases(name).get(alias)) != version:
                self._client.set_registered_model_alias(name, alias, version)

    def aliases(self, name: str) -> dict[str, str]:
        """The version that each alias names."""
        found = self._client.get_registered_model(name)
        return {alias: str(version) for alias, version in dict(found.aliases).items()}

    def version_of(self, name: str, digest: str) -> str | None:
        """The version of a digest; None if there is none."""
        with self._faults(name):
            versions = self._client.search_model_versions(
                f"name = '{_quoted(name)}'", max_results=_MAX_VERSIONS
            )
        held = [one for one in versions if one.tags.get(DIGEST) == digest]
        return str(max(int(one.version) for one in held)) if held else None

    def _experiment(self) -> str:
        known = self._client.get_experiment_by_name(_EXPERIMENT)
        return str(known.experiment_id if known else self._client.create_experiment(_EXPERIMENT))

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _safe_file(self, place: str, uri: str) -> str:
        """The one file to be read, by the model's own description."""
        try:
            about = yaml.safe_load(self._read(f"{place}/MLmodel", limit=_MAX_TEXT))
            flavours = dict(about["flavors"])
        except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError):
            raise ModelFormatError("its MLmodel says nothing", where=uri) from None
        found = [
            str(flavour["data"])
            for flavour in flavours.values()
            if isinstance(flavour, dict) and str(flavour.get("data", "")).endswith(_SAFE)
        ]
        for file in found:
            path = PurePosixPath(file)
            if not path.is_absolute() and ".." not in path.parts:
                return file
        raise ModelFormatError(
            f"holds no ONNX or safetensors file, only {', '.join(sorted(map(str, flavours)))}",
            where=uri,
            hint="those are loaded by unpickling, which runs code: log the model as ONNX",
        )

    def _read(self, uri: str, *, limit: int) -> bytes:
        from mlflow import artifacts  # noqa: PLC0415 - of an extra

        with self._faults(uri), tempfile.TemporaryDirectory(prefix="hauberk-mlflow-") as folder:
            path = Path(
                artifacts.download_artifacts(
                    artifact_uri=uri, dst_path=folder, tracking_uri=self.url
                )
            )
            if not path.is_file() or path.is_symlink() or path.stat().st_size > limit:
                raise ModelFormatError(f"no file of at most {limit} bytes", where=uri)
            return path.read_bytes()

    @contextmanager
    def _faults(self, what: str) -> Iterator[None]:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415
        from requests import RequestException  # noqa: PLC0415

        try:
            yield
        except (MlflowException, RequestException) as error:
            line = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise EnvironmentFault(
                f"the registry refused: {line}",
                where=f"mlflow: {what}",
                hint="is the server running, and is there such a model?",
            ) from None


def _about(digest: str) -> str:
    """The description of an ONNX model, as MLflow writes it."""
    flavour = {"onnx_version": "1.18", "data": "model.onnx", "providers": ["CPUExecutionProvider"]}
    return yaml.safe_dump({"flavors": {"onnx": flavour}, "metadata": {DIGEST: digest}})


def _quoted(name: str) -> str:
    if not name or any(letter in name for letter in "'\"/:\\%"):
        raise Untrusted(f"not a model's name: {name[:80]!r}", where="mlflow")
    return name


def _may_speak(url: str, *, insecure: bool) -> bool:
    parts = urlsplit(url)
    if not parts.hostname or parts.username or parts.password:
        return False
    if parts.scheme == "https":
        return True
    try:
        here = parts.hostname == "localhost" or ip_address(parts.hostname).is_loopback
    except ValueError:
        here = False
    return parts.scheme == "http" and (here or insecure)
