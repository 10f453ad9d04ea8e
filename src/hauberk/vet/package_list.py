"""Texts that list packages: which kind one is, and what reads it; imported where one may be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hauberk.vet.case import Case

_PACKAGE = re.compile(
    r"==|>=|~=|--hash|\+\w+://| ?@ ?[a-z+]+://|^-[er] |^--\w"
    r"|^\[\[packages?\]\]|^\[(project|build-system|tool)",
    re.MULTILINE,
)
_NAME = re.compile(r"(?i)(requirements?|constraints?|reqs|deps)[\w.-]*\.(txt|in|pip)\Z")
_METADATA = re.compile(r"\AMetadata-Version: \d")


def vet_packages(text: str, case: Case, where: str) -> bool:
    """Examine a list of packages, or the metadata of an installed one; False if it is neither."""
    if _METADATA.match(text):
        from hauberk.vet.installed import vet_metadata  # noqa: PLC0415 - rarely needed

        vet_metadata(text, case, where)
        return True
    if not _PACKAGE.search(text) and not _NAME.search(where):
        return False
    from hauberk.vet.lock_file import vet_toml  # noqa: PLC0415 - rarely needed
    from hauberk.vet.requirements_file import (  # noqa: PLC0415 - rarely needed
        is_requirements,
        vet_requirements,
    )

    if vet_toml(text, case, where):
        return True
    if is_requirements(text, where):
        vet_requirements(text, case, where)
        return True
    return False
