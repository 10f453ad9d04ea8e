"""Every form of evidence tells the same, and none shows what is unproven as clean."""

import json
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.core.evidence import Evidence, Severity, Verdict
from hauberk.core.rule import RULES
from hauberk.govern.format_names import FORMATS, Format
from hauberk.govern.formats import plain, render
from hauberk.govern.rows import findings, number, row, status, summary
from hauberk.govern.text import columns, markdown_table, one_line


def evidence(
    rule: str, verdict: Verdict, value: float | None = None, limit: float | None = None
) -> Evidence:
    return Evidence(
        rule=rule,
        subject="models/ped.onnx",
        verdict=verdict,
        message="measured",
        value=value,
        limit=limit,
        severity=RULES[rule].severity if rule in RULES else Severity.MEDIUM,
    )


PASS = evidence("HB-S002", Verdict.PASS, 1.0)
FAIL = evidence("HB-E001", Verdict.FAIL, 0.31, 0.40)
NOT_RUN = evidence("HB-E007", Verdict.UNKNOWN, None, 1e-3)
UNKNOWN = evidence("HB-E005", Verdict.UNKNOWN, 0.5)
FREE = evidence("HB-E006", Verdict.UNKNOWN, 0.2)
ALL = [FAIL, NOT_RUN, UNKNOWN, FREE, PASS]


@pytest.mark.parametrize(
    ("one", "told", "finding"),
    [
        (PASS, "pass", False),
        (FAIL, "FAIL", True),
        (NOT_RUN, "NOT RUN", True),
        (UNKNOWN, "UNKNOWN", True),
        (FREE, "no limit", False),
        (evidence("HB-E006", Verdict.UNKNOWN, float("nan")), "UNKNOWN", True),
        (evidence("HB-E001", Verdict.UNKNOWN, 0.5, 0.4), "UNKNOWN", True),
        (evidence("X-1", Verdict.UNKNOWN, 0.5), "UNKNOWN", True),
        (evidence("HB-S002", Verdict.PASS), "pass", False),
    ],
)
def test_the_status_of_a_verdict(one: Evidence, told: str, finding: bool) -> None:
    assert status(one) == told
    assert row(one).finding is finding


def test_the_table_of_the_gate() -> None:
    shown = render([FAIL, NOT_RUN, PASS], "table", heading="ped.onnx  linf 8/255")
    assert shown == (
        "  ped.onnx linf 8/255\n"
        "\n"
        "  RULE     CLAIM                                     MEASURED  LIMIT\n"
        "  HB-E001  robust accuracy, worst case over attacks  0.31      >= 0.4    FAIL\n"
        "  HB-E007  exported model equals the trained one     -         <= 0.001  NOT RUN\n"
        "  HB-S002  artefact signed                           yes       yes       pass\n"
    )
    assert summary(ALL) == "1 failed, 1 not run, 1 unknown, 1 without a limit, 1 passed"
    assert summary([]) == "nothing was checked"
    assert findings(ALL) == 3


def test_a_row_says_its_attack_its_eps_and_its_interval() -> None:
    one = Evidence(
        rule="HB-E006",
        subject="m",
        verdict=Verdict.UNKNOWN,
        message="",
        value=0.3123,
        interval=(0.2811, 0.345),
        spec={"attack": "pgd", "eps": 0.15},
    )
    assert row(one).claim == "accuracy under one attack (pgd, eps 0.15)"
    assert row(one).measured == "0.312 [0.281, 0.345]"


@pytest.mark.parametrize(
    ("value", "beside", "text"),
    [(0.31, None, "0.31"), (0.39999, 0.4, "0.39999"), (0.4, 0.4, "0.4"), (0.3996, 0.4, "0.3996")],
)
def test_a_miss_never_rounds_to_the_limit(value: float, beside: float | None, text: str) -> None:
    assert number(value, beside=beside) == text


@given(st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None, max_examples=100)
def test_different_numbers_look_different(value: float, limit: float) -> None:
    if value != limit:
        assert float(number(value, beside=limit)) != limit or number(limit) != number(
            value, beside=limit
        )


def test_json_holds_every_field_and_no_nan() -> None:
    odd = Evidence(
        rule="HB-E001",
        subject="m",
        verdict=Verdict.UNKNOWN,
        message="",
        value=float("nan"),
        interval=(float("-inf"), 1.0),
        spec={"seed": 1, "path": ("a", 2.0)},
    )
    tree = json.loads(render([odd], "json"))[0]
    assert tree["value"] is None
    assert tree["interval"] == [None, 1.0]
    assert tree["verdict"] == "unknown"
    assert tree["spec"] == {"seed": 1, "path": ["a", 2.0]}
    assert set(tree) == set(plain(PASS))


def test_sarif_has_findings_only_and_open_is_not_success() -> None:
    tree = json.loads(render(ALL, "sarif"))
    (run,) = tree["runs"]
    assert tree["version"] == "2.1.0"
    kinds = [(r["ruleId"], r["kind"], r["level"]) for r in run["results"]]
    assert kinds == [
        ("HB-E001", "fail", "error"),
        ("HB-E007", "open", "none"),
        ("HB-E005", "open", "none"),
    ]
    rules = run["tool"]["driver"]["rules"]
    assert all(rules[r["ruleIndex"]]["id"] == r["ruleId"] for r in run["results"])
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert len(invocation["toolExecutionNotifications"]) == 2
    clean = json.loads(render([PASS], "sarif"))["runs"][0]
    assert clean["results"] == []
    assert clean["invocations"][0]["executionSuccessful"] is True
    assert json.loads(render([evidence("X-1", Verdict.FAIL, 0.0)], "sarif"))["runs"][0]["results"]


def test_junit_counts_not_run_as_an_error() -> None:
    suite = ET.fromstring(render(ALL, "junit"))
    assert suite.attrib == {"name": "hauberk", "tests": "5", "failures": "1", "errors": "2"}
    assert len(suite.findall("testcase")) == 5
    assert not suite.findall(".//skipped")
    assert [e.get("message", "")[:7] for e in suite.findall(".//error")] == ["NOT RUN", "UNKNOWN"]
    empty = ET.fromstring(render([], "junit"))
    assert empty.get("errors") == "1"


@pytest.mark.parametrize("form", FORMATS)
@given(text=st.text(max_size=60))
@settings(deadline=None, max_examples=40)
def test_no_text_breaks_a_form(form: Format, text: str) -> None:
    one = Evidence(
        rule="HB-E001",
        subject=text,
        verdict=Verdict.FAIL,
        message=text,
        spec={"attack": f"<b>{text}", "eps": 0.1},
    )
    shown = render([one], form, heading=text)
    assert shown.endswith("\n")
    assert "\x1b" not in shown
    if form in {"json", "sarif"}:
        json.loads(shown)
    elif form == "junit":
        ET.fromstring(shown)
    elif form in {"html", "md"}:
        assert "<b>" not in shown


def test_one_line_is_one_line() -> None:
    assert one_line(" a\n b\tc\x00\x1b[0m\u202e ") == "a b c??[0m?"
    assert len(one_line("x" * 9999)) == 2000
    assert one_line("ab", limit=2) == "ab"


@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), max_size=5))
@settings(deadline=None, max_examples=60)
def test_columns_are_lines_and_align(rows: list[tuple[str, str]]) -> None:
    lines = columns([("head", "x"), *rows])
    assert len(lines) == len(rows) + 1
    assert all("\n" not in line and line == line.rstrip() for line in lines)
    at = lines[0].index("x")
    for line, (_, second) in zip(lines[1:], rows, strict=True):
        assert line[at:] == one_line(second)


def test_rows_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="lengths"):
        columns([("a",), ("a", "b")])


def test_markdown_cells_stay_cells() -> None:
    text = markdown_table(("a",), [("x|y",), ("<i>\n[l](u)",)])
    assert text.splitlines()[2:] == ["| x\\|y |", "| &lt;i> \\[l\\](u) |"]
