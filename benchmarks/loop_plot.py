"""Recovery over the requests, from the report of a demo: ``python -m benchmarks.loop_plot REPORT``.

``hauberk demo`` leaves ``report.json`` in its state directory. Writes ``results/loop.svg``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from msgspec.structs import replace

from benchmarks.table import RESULTS
from hauberk.govern.page import stream_chart
from hauberk.govern.report import LoopReport

BEFORE = 1000
"""Requests before the attack that are shown."""
STYLE = """<style>
svg{font:11px sans-serif;background:#fff}
.line{fill:none;stroke:#1b6ca8;stroke-width:1.5}.grid{stroke:#ddd}.axis{stroke:#444}
.mark{stroke:#a33}.head{fill:#a33}.number{fill:#fff}.phase{opacity:.25}
.p0{fill:#fff}.p1{fill:#e3b341}.p2{fill:#8fb8de}.p3{fill:#b7a3d6}.p4{fill:#9bd0a5}.p5{fill:#ccc}
</style>"""


def plot(report: LoopReport) -> str:
    """The demo's stream from shortly before the attack on, with what marks and colours mean."""
    start = min((mark.request for mark in report.marks), default=0) - BEFORE
    shown = replace(report, stream=tuple(p for p in report.stream if p.request >= start))
    chart = stream_chart(shown)
    if chart is None:
        raise SystemExit("the report holds no stream")
    drawn = chart.svg("recovery").replace('viewBox="0 0 720 320"', 'viewBox="0 0 720 400"')
    return drawn.replace("</svg>", f"{STYLE}\n{_words(report, shown)}\n</svg>")


def _words(report: LoopReport, shown: LoopReport) -> str:
    phases = list(dict.fromkeys(point.phase for point in shown.stream))
    marks = ", ".join(f"{n} {mark.text}" for n, mark in enumerate(report.marks, 1))
    head = report.headline
    row = next((r for r in report.rows if (r.attack, r.eps) == (head.attack, head.eps)), None)
    parts = [(text, getattr(row, text)) for text in ("before", "under", "after") if row]
    figures = ", ".join(f"{text} {one.value:.1%}" for text, one in parts if one)
    twin = [p.accuracy for p in shown.stream if p.phase in {"hardening", "judging"}]
    contained = f"answered by the twin {sum(twin) / len(twin):.1%} (all requests)" if twin else ""
    lines = [f'<text x="62" y="345">{marks}</text>']
    lines.append(
        f'<text x="62" y="365">{head.attack}, eps {head.eps:g}: {figures}; {contained}</text>'
    )
    for number, phase in enumerate(phases):
        x = 62 + 105 * number
        lines.append(f'<rect class="phase p{number}" x="{x}" y="378" width="12" height="12"/>')
        lines.append(f'<text x="{x + 17}" y="388">{phase}</text>')
    return "\n".join(lines)


def main() -> int:
    report = LoopReport.from_json(Path(sys.argv[1]).read_bytes())
    (RESULTS / "loop.svg").write_text(plot(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
