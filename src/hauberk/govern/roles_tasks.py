"""The tasks of each stage in swim-lanes, and which of them the ledger shows to be done."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Literal

from hauberk.core.evidence import Verdict
from hauberk.govern.roles import LETTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hauberk.govern.roles import Governance, Task
    from hauberk.govern.taken import Taken

Done = Literal["done", "not done", "no check"]
HEAD = ("stage", "task", "does", "answers", "is asked", "is told", "evidence", "state")
_STYLE = (
    ":root{color-scheme:light dark}body{font:1rem/1.4 system-ui,sans-serif;margin:2rem}"
    "table{border-collapse:collapse}th,td{border:1px solid #8886;padding:.4rem .6rem;"
    "text-align:left;vertical-align:top}.done{color:#1a7f37}.not-done{color:#b42318}"
    ".no-check{color:#6b7280}"
)


def done(task: Task, found: Mapping[str, Taken]) -> Done:
    """Whether a task has evidence; one without a rule cannot show that it was done."""
    if not task.rules:
        return "no check"
    ran = [found[code] for code in task.rules if code in found]
    good = len(ran) == len(task.rules) and all(
        item.evidence.verdict is not Verdict.UNKNOWN for item in ran
    )
    return "done" if good else "not done"


def rows(governance: Governance, found: Mapping[str, Taken]) -> list[list[str]]:
    """A row for each task, stage by stage, in the order of ``HEAD``."""
    place = {stage: number for number, stage in enumerate(governance.stages)}
    return [
        [
            task.stage,
            task.title,
            *(", ".join(getattr(task.raci, letter.lower())) for letter in LETTERS),
            ", ".join(f"{code}{'' if code in found else ' (never ran)'}" for code in task.rules),
            done(task, found),
        ]
        for task in sorted(governance.task, key=lambda one: place[one.stage])
    ]


def page(governance: Governance, found: Mapping[str, Taken]) -> str:
    """The swim-lanes as one HTML page: a lane for each role, a column for each stage."""
    head = "".join(f"<th>{escape(stage)}</th>" for stage in governance.stages)
    lanes = []
    for role, stages in governance.lanes().items():
        cells = "".join(
            "<td>" + "<br>".join(_shown(task, letters, found) for task, letters in tasks) + "</td>"
            for tasks in stages.values()
        )
        lanes.append(f'<tr><th title="{escape(governance.roles[role])}">{escape(role)}</th>{cells}')
    key = ", ".join(f"{letter} {words}" for letter, words in LETTERS.items())
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"style-src 'unsafe-inline'\"><title>Tasks</title><style>{_STYLE}</style>\n"
        f"<h1>Tasks by role and stage</h1><p>{key}. A task is done once its evidence is there."
        f"</p><table><thead><tr><th>role</th>{head}</tr></thead><tbody>\n"
        + "</tr>\n".join(lanes)
        + "</tr>\n</tbody></table></html>\n"
    )


def _shown(task: Task, letters: str, found: Mapping[str, Taken]) -> str:
    state = done(task, found)
    name = state.replace(" ", "-")
    return f'<span class="{name}">{letters} {escape(task.title)} ({state})</span>'
