"""Names of packages that are made to be mistaken for others."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from hauberk.vet.advisory import canonical

_TARGETS = 2000  # the most downloaded ones, which are imitated
_SHORTEST = 4
_AFFIXES = ("python-", "python3-", "py-", "py3-", "-python", "-python3", "-py", "-lib", "-official")
# Names that were never, or are no longer, what one gets by them.
_STAND_INS = {
    "sklearn": "scikit-learn",
    "cv2": "opencv-python",
    "bs4": "beautifulsoup4",
    "skimage": "scikit-image",
    "tensorflow-gpu": "tensorflow",
    "pytorch": "torch",
    "torchtriton": "triton",
    "opencv": "opencv-python",
    "beautifulsoup": "beautifulsoup4",
    "python-sqlite": "sqlite3",
    "yaml": "pyyaml",
    "dateutil": "python-dateutil",
    "request": "requests",
    "sci-kit-learn": "scikit-learn",
}


def imitated(name: str) -> str:
    """The popular package that a name is likely to be mistaken for; empty if there is none."""
    name = canonical(name)
    stood = _STAND_INS.get(name)
    if stood:
        return stood
    known, targets, squeezed = _popular()
    if name in known:
        return ""
    plain = name.replace("-", "")
    if plain in squeezed:
        return squeezed[plain]
    for affix in _AFFIXES:
        bare = name.removeprefix(affix) if affix.endswith("-") else name.removesuffix(affix)
        if bare != name and bare in targets:
            return bare
    if len(name) < _SHORTEST:
        return ""
    return next((one for one in _neighbours(name) if one in targets), "")


def _neighbours(name: str) -> list[str]:
    """All names one letter more, less, other, or two swapped; look-alikes all at once."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
    found = [name.translate(str.maketrans("0135", "oles")), name.replace("rn", "m")]
    found += [name.replace("vv", "w"), name.replace("cl", "d")]
    for at in range(len(name) + 1):
        head, tail = name[:at], name[at:]
        found.append(head + tail[1:])
        if len(tail) > 1:
            found.append(head + tail[1] + tail[0] + tail[2:])
        for letter in letters:
            found += (head + letter + tail, head + letter + tail[1:])
    return [one for one in found if one != name and len(one) >= _SHORTEST]


@cache
def _popular() -> tuple[frozenset[str], frozenset[str], dict[str, str]]:
    """All known names, those that are imitated, and these without their hyphens."""
    text = (files("hauberk.vet.catalogues") / "popular.txt").read_text("utf-8")
    names = [line for line in text.splitlines() if line and not line.startswith("#")]
    targets = names[:_TARGETS]
    squeezed = {one.replace("-", ""): one for one in reversed(targets)}
    return frozenset(names), frozenset(targets), squeezed
