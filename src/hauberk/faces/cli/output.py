"""Where things are printed: the result to stdout or a file, everything else to stderr."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from hauberk.core.errors import EnvironmentFault, UserError
from hauberk.govern.text import columns, markdown_table, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hauberk.core.evidence import Evidence
    from hauberk.faces.cli.progress import Advance
    from hauberk.govern.decision import Decision
    from hauberk.govern.format_names import Format

_COLOURS = {"pass": "green", "FAIL": "red", "NOT RUN": "yellow", "UNKNOWN": "yellow"}


@dataclass(frozen=True, kw_only=True)
class Output:
    """The form of the result, its place, and whether progress is shown."""

    form: Format = "table"
    path: Path | None = None
    quiet: bool = False

    def say(self, text: str) -> None:
        """A line of progress on stderr; nothing where quiet."""
        if not self.quiet:
            click.echo(one_line(text), err=True)

    def write(self, text: str) -> None:
        """The result: to the file, whole or not at all, or to stdout.

        Raises:
            EnvironmentFault: if the file cannot be written.
        """
        if self.path is None:
            click.echo(text, nl=False)
            return
        from hauberk.adapters.local.files import write_file

        try:
            write_file(self.path, text.encode(), mode=0o644)
        except OSError as error:
            raise EnvironmentFault(
                f"cannot be written: {error.strerror}", where=str(self.path)
            ) from None
        self.say(f"wrote {self.path}")

    def data(self, value: Any) -> None:
        """The result as JSON, whatever the format."""
        from hauberk.govern.formats import as_json

        self.write(as_json(value))

    def evidence(self, evidence: Sequence[Evidence], *, heading: str = "") -> int:
        """Evidence as the result and its summary on stderr.

        Returns:
            The exit code: 0 if all passed, 1 if something failed, was not run or stayed unknown,
            or if there is no evidence at all.
        """
        from hauberk.govern.formats import render
        from hauberk.govern.rows import findings, summary

        text = render(evidence, self.form, heading=heading)
        self.write(self._coloured(text) if self.form == "table" else text)
        self.say(summary(evidence))
        return 1 if findings(evidence) or not evidence else 0

    def page(self, html: str, evidence: Sequence[Evidence]) -> int:
        """A page that shows the evidence as the result; its summary on stderr.

        Returns:
            The exit code, as :meth:`evidence`.
        """
        from hauberk.govern.rows import findings, summary

        self.write(html)
        self.say(summary(evidence))
        return 1 if findings(evidence) or not evidence else 0

    def decision(self, decision: Decision, *, heading: str = "") -> int:
        """A decision as the result; its summary and, where denied, a hint on stderr.

        Returns:
            The exit code: 0 if the subject may be served, otherwise 1.
        """
        if self.form == "json":
            self.data(decision.body())
        else:
            from hauberk.govern.formats import render
            from hauberk.govern.rows import of_decision

            evidence = of_decision(decision)
            text = render(evidence, self.form, heading=heading)
            self.write(self._coloured(text) if self.form == "table" else text)
        self.say(decision.summary.capitalize())
        if decision.allowed:
            return 0
        self.say("hint: `hauberk harden` makes a better model; `hauberk rule CODE` explains a rule")
        return 1

    def listing(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows of words as a table, JSON (one object for each row) or Markdown.

        Raises:
            UserError: if another format was asked for.
        """
        if self.form == "json":
            self.data([dict(zip(head, row, strict=True)) for row in rows])
        elif self.form == "md":
            self.write(markdown_table(head, rows))
        elif self.form == "table":
            self.write("\n".join(columns([[h.upper() for h in head], *rows])) + "\n")
        else:
            raise UserError(f"a listing has no form {self.form!r}", hint="table, json or md")

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator[Advance]:
        """Yield ``advance(done, total)``: a bar with an ETA on a terminal, else plain lines."""
        from hauberk.faces.cli.progress import shown

        with shown(label, total, quiet=self.quiet) as advance:
            yield advance

    def _coloured(self, text: str) -> str:
        if self.path or not colour(sys.stdout):
            return text
        return "\n".join(map(_painted, text.split("\n")))


def colour(stream: Any) -> bool:
    """Whether to colour: a terminal that can, and no ``NO_COLOR`` (no-color.org)."""
    return bool(
        stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def _painted(line: str) -> str:
    for status, name in _COLOURS.items():
        if line.endswith(f"  {status}"):
            return line[: -len(status)] + click.style(status, fg=name, bold=name != "green" or None)
    return line
