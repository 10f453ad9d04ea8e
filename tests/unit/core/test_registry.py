"""Components by name: lazily, with a suggestion, and never taken over."""

from importlib.metadata import EntryPoint
from importlib.util import find_spec

import pytest

from hauberk.core import registry
from hauberk.core.errors import UnknownNameError
from hauberk.core.registry import BUILT_IN, find, names

ALL = [(group, name) for group, known in BUILT_IN.items() for name in known]


@pytest.mark.parametrize(("group", "name"), ALL, ids=str)
def test_every_name_leads_to_something(group: str, name: str) -> None:
    module = BUILT_IN[group][name].partition(":")[0]
    assert find_spec(module) is not None
    assert callable(find(group, name))


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        find("attack", "pdg")
    assert "unknown attack 'pdg'" in str(caught.value)
    assert "pgd" in caught.value.hint
    with pytest.raises(UnknownNameError):
        names("attacks")


def test_a_plug_in_adds_and_never_replaces(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint(name="mine", value="fractions:Fraction", group="hauberk.attack"),
        EntryPoint(name="pgd", value="evil:PGD", group="hauberk.attack"),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    assert names("attack")["mine"] == "fractions:Fraction"
    assert names("attack")["pgd"] == BUILT_IN["attack"]["pgd"]
    assert find("attack", "mine").__name__ == "Fraction"
