"""Names and values of settings: default passwords, secrets in plain sight, tags that move."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hauberk.vet.harmful import words
from hauberk.vet.secrets import is_secret

if TYPE_CHECKING:
    from hauberk.vet.case import Case

# Passwords that products ship with, and the accounts that are as bad with any of them.
DEFAULTS = words(
    """
    minio123 minioadmin changeme password admin123 postgres mysql root123 12341234 secret
    guest admin mlflow kubeflow test1234 test
    """
)
_SECRET_NAME = re.compile(
    r"(?i)pass(word|wd)?$|secret_?(access)?_?(key)?$|token$|(root|access)_?key$|secretkey$"
)
_MOVING = frozenset({"latest", "master", "main", "stable", "nightly", "edge", "dev"})


def credential(key: str, value: str, case: Case, where: str) -> None:
    """A setting by name and value: a default password is a finding."""
    plain = value.strip("'\"").lower()
    account = key.upper().endswith(("USER", "USERNAME", "ACCESS_KEY", "ACCESSKEY"))
    if (_SECRET_NAME.search(key) and plain in DEFAULTS) or (
        account and plain in {"minio", "minioadmin"}
    ):
        case.find("HB-V101", f"{key[:80]} is what the product ships with", where)


def secret_setting(key: str, value: str, case: Case, where: str) -> None:
    """A setting whose name says that it is secret, and whose value stands there."""
    if _SECRET_NAME.search(key) and is_secret(value):
        case.find("HB-V109", f"{key[:80]} stands there in plain sight", where)


def image(name: str, case: Case, where: str) -> None:
    """An image by its reference."""
    if not name or "@sha256:" in name or "$" in name:
        return
    tag = name.rpartition("/")[2].partition(":")[2]
    if not tag or tag in _MOVING:
        case.find("HB-V107", f"image {name[:120]} has a tag that moves", where)


def at(tree: Any, *keys: str) -> Any:
    """What a path of keys leads to; None where it ends early."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree
