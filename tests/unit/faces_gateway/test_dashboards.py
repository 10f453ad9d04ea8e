"""The dashboard and the alert rules speak of metrics that the gateway has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hauberk.faces.gateway.meters import Meters

FOLDER = Path(__file__).parents[3] / "deploy" / "grafana"
_METRIC = re.compile(r"\bhauberk_[a-z_]+")
_FUNCTIONS = {"histogram_quantile", "increase", "label_values", "rate", "sum"}


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "gateway.json").read_text("utf-8"))
    return found


def rules() -> list[dict[str, Any]]:
    tree = yaml.safe_load((FOLDER / "alerts.yaml").read_text("utf-8"))
    return [rule for group in tree["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    shown = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    asked = [one["query"] for one in dashboard()["templating"]["list"] if one["type"] == "query"]
    return [*shown, *asked, *(rule["expr"] for rule in rules())]


def known() -> set[str]:
    """Names of samples, as a scrape shows them; a label of the same name as its metric counts."""
    page = Meters().page().decode()
    names = set()
    for _, name, kind in re.findall(r"# (TYPE) (\S+) (\S+)", page):
        names |= {name, *({f"{name}_bucket"} if kind == "histogram" else set())}
    return names


@pytest.mark.parametrize("expression", expressions())
def test_each_expression_asks_for_metrics_that_exist(expression: str) -> None:
    metrics = set(_METRIC.findall(expression))
    assert metrics
    assert metrics <= known()
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)
    called = set(re.findall(r"\b([a-z_]+)\(", expression))
    assert called <= _FUNCTIONS
    if "_total" in expression or "_bucket" in expression:
        assert re.search(r"(rate|increase)\(", expression), "a counter is asked for its growth"


def test_the_dashboard_is_whole() -> None:
    tree = dashboard()
    assert {"title", "uid", "schemaVersion", "panels", "templating"} <= tree.keys()
    numbers = [panel["id"] for panel in tree["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken: set[tuple[int, int]] = set()
    for panel in tree["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_alert_says_how_bad_and_what() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))


def test_each_kind_of_loss_has_an_alert() -> None:
    told = " ".join(rule["expr"] for rule in rules())
    dropped = {name for name in known() if name.endswith("_dropped_total")}
    assert dropped
    assert all(name in told for name in dropped)
