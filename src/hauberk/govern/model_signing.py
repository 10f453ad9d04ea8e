"""The OpenSSF model signature: which files make a model, and what is signed about them.

An in-toto statement whose predicate lists the digest of every file. The subject's digest is
SHA-256 over the files' digests in the order of the list.

OpenSSF model-signing specification v1.0 (predicate ``https://model_signing/signature/v1.0``).
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hauberk.core.digest import check_digest
from hauberk.core.errors import Untrusted, UserError
from hauberk.govern.attest import STATEMENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PREDICATE = "https://model_signing/signature/v1.0"
MAX_FILES = 100_000
_HASH = "sha256"


class Difference(NamedTuple):
    """A file that is not as it was signed."""

    name: str
    fault: Literal["altered", "missing", "not signed"]


class Manifest(NamedTuple):
    """The files of a signed model: name to digest, and what the signer left out on purpose."""

    name: str
    files: Mapping[str, str]
    ignored: tuple[str, ...] = ()

    def differences(self, found: Mapping[str, str]) -> list[Difference]:
        """How the files that are there differ from those that were signed, by name."""
        result = [
            Difference(name, "missing" if name not in found else "altered")
            for name, digest in self.files.items()
            if found.get(name) != digest
        ]
        result += [Difference(name, "not signed") for name in found.keys() - self.files.keys()]
        return sorted(result)


def signing_statement(manifest: Manifest) -> dict[str, Any]:
    """The statement that is signed about a model.

    Raises:
        UserError: if it has no file, or too many.
    """
    if not 0 < len(manifest.files) <= MAX_FILES:
        raise UserError(f"{len(manifest.files)} files to sign, not 1…{MAX_FILES}")
    # As paths, part by part: that is the order of the specification's own implementation.
    names = sorted(manifest.files, key=PurePosixPath)
    digests = [check_digest(manifest.files[name]).removeprefix("sha256:") for name in names]
    serialization: dict[str, Any] = {
        "method": "files",
        "hash_type": _HASH,
        "allow_symlinks": False,
    }
    if manifest.ignored:
        serialization["ignore_paths"] = sorted(manifest.ignored)
    return {
        "_type": STATEMENT,
        "subject": [{"name": manifest.name, "digest": {"sha256": _root(digests)}}],
        "predicateType": PREDICATE,
        "predicate": {
            "serialization": serialization,
            "resources": [
                {"name": name, "algorithm": _HASH, "digest": digest}
                for name, digest in zip(names, digests, strict=True)
            ],
        },
    }


def read_manifest(statement: Any) -> Manifest:
    """The manifest of a statement whose signature was verified.

    Raises:
        Untrusted: if it is another kind of statement, contradicts itself, or hashes files in a way
            that is not known here.
    """
    try:
        if statement["_type"] != STATEMENT or statement["predicateType"] != PREDICATE:
            raise _refuse("the signed statement is not a model signature v1.0")
        [subject] = statement["subject"]
        predicate = statement["predicate"]
        method = predicate["serialization"]
        if method["method"] != "files" or method["hash_type"] != _HASH:
            told = f"{method['method']!s} and {method['hash_type']!s}"[:80]
            raise _refuse(f"signed by {told}; only files and sha256 are known here")
        if method.get("allow_symlinks"):
            raise _refuse("signed with links followed; where they lead now is not known")
        resources = predicate["resources"]
        if not 0 < len(resources) <= MAX_FILES:
            raise _refuse(f"{len(resources)} files, not 1…{MAX_FILES}")
        files = {one["name"]: one["digest"] for one in resources if one["algorithm"] == _HASH}
        root = _root([one["digest"] for one in resources])
        name, wanted = str(subject["name"]), subject["digest"]["sha256"]
        ignored = tuple(map(str, method.get("ignore_paths") or ()))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _refuse("the signed statement is malformed") from None
    if len(files) != len(resources) or not all(map(_inside, files)):
        raise _refuse("the signed files are not named once each, inside the model")
    if root != wanted:
        raise _refuse("the signed digests do not make the signed root")
    return Manifest(name, {key: f"sha256:{value}" for key, value in files.items()}, ignored)


def _root(digests: Sequence[str]) -> str:
    state = sha256()
    for digest in digests:
        state.update(bytes.fromhex(digest))
    return state.hexdigest()


def _inside(name: Any) -> bool:
    """A file of the model, or ``.``: the model that is one file."""
    if not isinstance(name, str) or "\x00" in name:
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and str(path) == name


def _refuse(why: str) -> Untrusted:
    return Untrusted(f"HB-S002: {why}")
