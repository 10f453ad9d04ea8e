"""The report: deterministic, self-contained, honest about what is missing, and escaped."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from hauberk.core.errors import DataError
from hauberk.core.evidence import Verdict
from hauberk.govern.decision import Decision, Row
from hauberk.govern.page import curve_chart, page, stream_chart
from hauberk.govern.report import (
    WORST,
    AttackRow,
    DecisionRow,
    Example,
    Figure,
    Headline,
    LoopReport,
    Mark,
    Picture,
    Point,
    Turn,
    decision_rows,
)
from hauberk.govern.report_text import markdown, table
from hauberk.govern.story import curve, headline

EVIL = '<script>alert(1)</script>"\x1b[31m'


def attack_row(attack: str, eps: float, under: int, after: int | None) -> AttackRow:
    return AttackRow(
        attack=attack,
        eps=eps,
        n=200,
        before=Figure.of(193, 200),
        under=Figure.of(under, 200),
        after=None if after is None else Figure.of(after, 200),
    )


def full() -> LoopReport:
    rng = np.random.default_rng(0)
    phases = ["serving"] * 12 + ["contained"] * 4 + ["hardening"] * 6 + ["canary"] * 3
    phases += ["checking"] * 3 + ["serving"] * 8
    level = [0.96] * 10 + [0.3, 0.18, *[0.62] * 13, *[0.75] * 11]
    clean = rng.random((1, 28, 28))
    noise = 0.15 * np.sign(rng.standard_normal((1, 28, 28)))
    return LoopReport(
        title="FGSM on digits, met by the loop",
        generated_at=1_790_000_000.0,
        headline=Headline(
            outcome="recovered",
            attack="fgsm",
            detection_requests=14,
            detection_seconds=0.42,
            containment_seconds=0.61,
            recovery_seconds=74.2,
            training_seconds=38.9,
            false_alarms=0,
            clean_requests=2000,
            clean_before=Figure.of(193, 200),
            clean_after=Figure.of(194, 200),
        ),
        rows=(
            attack_row("fgsm", 0.15, 36, 149),
            attack_row("pgd", 0.15, 1, 117),
            attack_row("square", 0.15, 8, None),
            attack_row(WORST, 0.075, 40, 160),
            attack_row(WORST, 0.15, 1, 115),
            attack_row(WORST, 0.225, 0, 61),
        ),
        stream=tuple(
            Point(request=50 * n, accuracy=a, phase=p)
            for n, (a, p) in enumerate(zip(level, phases, strict=True), start=1)
        ),
        marks=(
            Mark(request=500, text="attack starts"),
            Mark(request=514, text="alarm"),
            Mark(request=600, text="contained on the twin"),
            Mark(request=1400, text="promoted"),
        ),
        verdict="pass",
        decision=(
            DecisionRow(
                rule="HB-E001",
                claim="robust accuracy, worst case over attacks",
                measured="0.575 [0.506, 0.641]",
                limit=">= 0.4",
                verdict="pass",
            ),
            DecisionRow(
                rule="HB-E007",
                claim="exported model equals the trained one",
                measured="-",
                limit="<= 0.001",
                verdict="NOT RUN",
            ),
        ),
        turns=(
            Turn(at=1_790_000_001.5, phase="contained", event="alarm", actions=("contain", "page")),
            Turn(at=1_790_000_002.25, phase="hardening", event="contained", actions=("harden",)),
        ),
        examples=tuple(
            Example.of(
                clean,
                np.clip(clean + noise, 0, 1),
                label="3",
                clean_answer="3",
                adversarial_answer="8",
            )
            for _ in range(3)
        ),
        conditions={"seed": "0", "n": "200", "threat": "linf:0.15"},
        provenance={"served before": "sha256:" + "a" * 64, "signer": "sha256:" + "b" * 64},
    )


class Outside(HTMLParser):
    """Collects every address that a browser would fetch, scripts and unclosed tags."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name in {"src", "href", "srcset", "action"}:
                self.addresses.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(text: str) -> Outside:
    parser = Outside()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


def test_the_page_is_the_same_bytes_every_time() -> None:
    assert page(full()) == page(LoopReport.from_json(full().to_json()))


def test_the_page_asks_nothing_of_anyone() -> None:
    found = read(page(full()))
    assert found.addresses
    assert all(address.startswith("data:image/png;base64,") for address in found.addresses)
    assert not {"script", "link", "iframe", "object", "form"} & set(found.tags)
    assert not re.search(r"url\(|@import", page(full()))


def test_everything_measured_is_on_the_page_and_in_the_texts() -> None:
    report = full()
    for text in (page(report), markdown(report)):
        for part in ("fgsm", "18.0 %", "74.5 %", "HB-E007", "contain", "linf:0.15", "a" * 64):
            assert part in text, part
    for part in ("fgsm", "18.0 %", "74.5 %", "HB-E007", "14 requests, 0.42 s", "a" * 64):
        assert part in table(report), part


def test_what_was_not_run_is_said_and_never_green() -> None:
    text = page(full())
    assert "not run" in text
    assert '<span class="verdict unknown">NOT RUN</span>' in text
    empty = page(LoopReport(title="nothing", generated_at=0.0))
    assert "No attack was run" in empty
    assert "No candidate was judged" in empty
    assert empty.count("not measured") >= 7
    assert 'class="verdict pass"' not in empty
    assert "no attack was run" in table(LoopReport(title="nothing", generated_at=0.0))


@pytest.mark.parametrize(
    "place", ["title", "attack", "phase", "condition", "mark", "label", "turn"]
)
def test_no_text_becomes_markup(place: str) -> None:
    evil: dict[str, Any] = {
        "title": {"title": EVIL},
        "attack": {"rows": (attack_row(EVIL, 0.1, 1, 2),)},
        "phase": {"stream": (Point(request=1, accuracy=1.0, phase=EVIL),)},
        "condition": {"conditions": {EVIL: EVIL}},
        "mark": {"marks": (Mark(request=1, text=EVIL),)},
        "label": {"examples": (msgspec.structs.replace(full().examples[0], label=EVIL),)},
        "turn": {"turns": (Turn(at=0.0, phase=EVIL, event=EVIL, actions=(EVIL,)),)},
    }
    report = msgspec.structs.replace(full(), **evil[place])
    found = read(page(report))
    assert "script" not in found.tags
    assert "<script" not in markdown(report)
    assert "\x1b" not in markdown(report) + table(report)


def test_the_headline_tells_the_truth_of_each_outcome() -> None:
    report = full()
    assert "from 96.5 % to 18.0 %" in headline(report)
    assert "74.5 %" in headline(report)
    halted = msgspec.structs.replace(
        report, headline=msgspec.structs.replace(report.headline, outcome="halted")
    )
    assert "promoted" not in headline(halted)
    assert "halted" in headline(halted)
    assert headline(LoopReport(title="t", generated_at=0.0)) == "The incident is still open."


def test_the_curve_takes_the_worst_case_and_starts_clean() -> None:
    under = curve(full(), "under")
    assert [eps for eps, _ in under] == [0.0, 0.075, 0.15, 0.225]
    assert under[2][1].value == 1 / 200
    singles = msgspec.structs.replace(full(), rows=full().rows[:3])
    assert curve(singles, "under")[1][1].value == 1 / 200
    assert curve_chart(LoopReport(title="t", generated_at=0.0)) is None


def test_phases_touch_and_cover_the_stream() -> None:
    chart = stream_chart(full())
    assert chart is not None
    spans = chart.spans
    assert [s.name for s in spans][:3] == ["serving", "contained", "hardening"]
    assert all(a.end == b.start for a, b in pairwise(spans))
    assert stream_chart(LoopReport(title="t", generated_at=0.0)) is None


def test_json_round_trips_and_refuses_the_rest() -> None:
    report = full()
    assert LoopReport.from_json(report.to_json()) == report
    for bad in (b"", b"{", b'{"title": 1}', b'{"title":"t","generated_at":0,"more":1}', b"\xff"):
        with pytest.raises(DataError):
            LoopReport.from_json(bad)


@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.1, float("inf")])
def test_a_figure_is_a_share(value: float) -> None:
    with pytest.raises(DataError):
        Figure(value=value)
    with pytest.raises(DataError):
        Figure(value=0.5, low=value)


def test_a_figure_of_no_samples_is_refused() -> None:
    for right, n in ((0, 0), (2, 1), (-1, 3)):
        with pytest.raises(DataError):
            Figure.of(right, n)


def test_pictures_keep_their_pixels() -> None:
    image = np.linspace(0, 1, 12).reshape(3, 2, 2)
    picture = Picture.of(image)
    assert (picture.height, picture.width, picture.channels) == (2, 2, 3)
    assert np.array_equal(picture.array(), np.rint(image * 255).transpose(1, 2, 0))
    with pytest.raises(DataError):
        Picture.of(np.zeros(4))
    with pytest.raises(DataError):
        Picture(height=2, width=2, channels=1, pixels=b"123")


def test_the_difference_is_amplified_about_grey() -> None:
    clean, attacked = np.full((2, 2), 0.5), np.array([[0.5, 0.6], [0.4, 0.5]])
    example = Example.of(clean, attacked, label="1", clean_answer="1", adversarial_answer="2")
    assert example.gain == pytest.approx(5.0)
    assert example.difference.array()[..., 0].tolist() == [[128, 255], [0, 128]]
    same = Example.of(clean, clean, label="1", clean_answer="1", adversarial_answer="1")
    assert set(same.difference.pixels) == {128}


def test_decision_rows_say_what_was_not_run() -> None:
    decision = Decision(
        subject="sha256:" + "c" * 64,
        verdict=Verdict.FAIL,
        rows=(
            Row(
                rule="HB-E002",
                claim="c",
                verdict=Verdict.FAIL,
                measured=0.8996,
                limit=0.9,
                sense="at-least",
            ),
            Row(rule="HB-E003", claim="c", verdict=Verdict.UNKNOWN, limit=0.02, sense="at-most"),
            Row(
                rule="HB-E001",
                claim="c",
                verdict=Verdict.FAIL,
                measured=0.1,
                limit=0.4,
                sense="at-least",
                eps=0.3,
                binding=False,
            ),
        ),
        policy="sha256:" + "d" * 64,
        evidence=(),
        at=0.0,
    )
    shown = [(row.rule, row.measured, row.limit, row.verdict) for row in decision_rows(decision)]
    assert shown == [
        ("HB-E002", "0.8996", ">= 0.9", "FAIL"),
        ("HB-E003", "-", "<= 0.02", "NOT RUN"),
        ("HB-E001", "0.1", "-", "no limit"),
    ]


def test_the_golden_page() -> None:
    """Compared to the byte, but for pictures, which zlib may compress in several ways.

    Look at the page in a browser, light, dark and printed, before replacing the file.
    """
    golden = Path(__file__).parents[2] / "golden" / "report.html"
    assert page(msgspec.structs.replace(full(), examples=())) == golden.read_text("utf-8")
