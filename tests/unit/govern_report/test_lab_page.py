from __future__ import annotations

from html.parser import HTMLParser

import numpy as np

from hauberk.core.evidence import Evidence, Severity, Verdict
from hauberk.govern.lab_page import ClassRow, Curve, LabPage
from hauberk.govern.report import Example

EVIDENCE = Evidence(
    rule="HB-E001",
    subject="sha256:1",
    verdict=Verdict.FAIL,
    message="3 of 10 <b>stay</b> right",
    value=0.3,
    limit=0.4,
    interval=(0.1, 0.6),
    severity=Severity.HIGH,
)


def _page() -> LabPage:
    grey = np.full((1, 4, 4), 0.5)
    return LabPage(
        title="model <one>",
        command="hauberk evaluate 'a b' --attacks fgsm,pgd",
        evidence=[EVIDENCE],
        curves=[Curve(name="worst case", points=[(0.0, 0.9, 0.8, 1.0), (0.1, 0.3, 0.1, 0.6)])],
        classes=[ClassRow(label=7, n=10, clean=0.9, robust=0.3, low=0.1, high=0.6)],
        examples=[
            Example.of(grey, grey + 0.1, label="7", clean_answer="7", adversarial_answer="1")
        ],
        queries=[Curve(name="square", points=[(10, 0.9, 0.8, 1.0), (100, 0.5, 0.3, 0.7)])],
        row=[("method", "one"), ("robust accuracy", "30.00%")],
        facts={"seed": "0"},
    )


def test_the_page_shows_all_of_it_and_escapes_what_it_is_given() -> None:
    html = _page().html()
    for text in (
        "FAIL",
        "0.3",
        "30.0 %",
        "difference × 5",
        "queries allowed",
        "--attacks fgsm,pgd",
    ):
        assert text in html, text
    assert "&lt;one&gt;" in html
    assert "<one>" not in html
    assert "<b>stay" not in html
    assert html == _page().html()


def test_nothing_is_fetched() -> None:
    class Sources(HTMLParser):
        found: list[str] = []  # noqa: RUF012 - one parser

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag != "script"
            self.found += [value or "" for name, value in attrs if name in {"src", "href"}]

    Sources().feed(_page().html())
    assert Sources.found
    assert all(one.startswith("data:image/png") for one in Sources.found)


def test_a_page_without_pictures_or_curves() -> None:
    html = LabPage(title="t", command="c", evidence=[EVIDENCE], curves=[]).html()
    assert "<svg" not in html
    assert "Class by class" not in html
