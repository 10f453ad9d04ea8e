"""``hauberk``: the verbs, each imported only when it is run."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, NoReturn

import click

from hauberk import __version__
from hauberk.faces.cli.failures import BROKEN_PIPE, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

# Name -> one line of help. The command is `command` in hauberk.faces.cli.<name>; a verb whose
# module is not there is not listed. The order is that of a model's life.
VERBS: dict[str, str] = {
    "demo": "Run the whole closed loop on real data, here and now.",
    "init": "Write a commented hauberk.toml.",
    "threats": "Describe a system, derive its threats, check what answers them.",
    "atlas": "List MITRE ATLAS techniques and mitigations, offline.",
    "models": "List the models that the ledger knows, and register one.",
    "keys": "Make and list the keys that sign models.",
    "vet": "Check data, model files and packages before they are let in.",
    "advisories": "Keep an index of known holes in packages, asked offline.",
    "attack": "Attack a model and show what it loses.",
    "evaluate": "Measure a model against its threat model.",
    "harden": "Train a model that withstands the attacks.",
    "gate": "Decide by policy whether a model may be served.",
    "serve": "Serve a signed model behind the guards.",
    "log": "Check and read the sealed log of a gateway.",
    "watch": "Follow the monitors of a running gateway.",
    "operator": "Protect the services of a Kubernetes namespace.",
    "bench": "Judge a detector by the public protocol.",
    "review": "Label the requests most worth it; the labels decide.",
    "loop": "Watch, contain, harden, judge and promote, without end.",
    "pipeline": "Run the loop's work as a Kubeflow pipeline, or compile it.",
    "report": "Render the report of a loop.",
    "verify": "Follow a model back to its data, or check a signature of its files.",
    "sign": "Sign the files of a model, as OpenSSF model-signing does.",
    "revoke": "Take back a model or a dataset, and all that was made from it.",
    "bom": "Write the signed bill of materials of a model.",
    "state": "Say where ledger and blobs are kept, and make the tables there.",
    "ledger": "Verify the ledger, sign checkpoints of it, prove its entries.",
    "consent": "Sign the consent of an owner to be attacked.",
    "rule": "Explain a rule code.",
    "config": "Show every setting and where it came from.",
}
# Not for people: what the controller starts.
HIDDEN = frozenset({"work"})


class Verbs(click.Group):
    """A group whose commands are imported one at a time, when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in VERBS if _there(name)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if not _there(cmd_name):
            return None
        command = import_module(_module(cmd_name)).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{_module(cmd_name)}.command is not a click command")
        command.name = cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and not _there(name):
            from difflib import get_close_matches

            near = get_close_matches(name, self.list_commands(ctx), n=1)
            error = click.UsageError(f"no such command {name!r}", ctx)
            if near:
                error.hint = f"did you mean {near[0]!r}?"  # type: ignore[attr-defined]  # ours
            raise error
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, VERBS[name]) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise click.exceptions.Exit(BROKEN_PIPE) from error  # click would make it a 1
        except EOFError as error:
            # click takes it for Ctrl-D at a prompt and would say "interrupted".
            raise RuntimeError(f"a file ended early: {error}") from error


@click.group(
    cls=Verbs,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "HAUBERK",
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name="hauberk", message="%(prog)s %(version)s")
def cli() -> None:
    """Security for machine-learning models over their whole life.

    Results go to stdout, progress to stderr. Exit codes: 0 clean, 1 findings, 2 wrong input,
    3 internal error.
    """


def run(args: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; every failure is told in one line."""
    try:
        code = cli.main(
            None if args is None else list(args), prog_name="hauberk", standalone_mode=False
        )
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2  # a script whose verb is empty must not look clean
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except BaseException as error:
        return _ended(error)
    return code if isinstance(code, int) else 0


def main() -> NoReturn:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without ε must not end the run
    code = run()
    _flush(sys.stdout)
    _flush(sys.stderr)
    sys.exit(code)


def _ended(error: BaseException) -> int:
    try:
        return tell(error)
    except BrokenPipeError:
        return BROKEN_PIPE


def _flush(stream: IO[str]) -> None:
    """Flush, and silence the interpreter's own flush where the reader has gone."""
    try:
        stream.flush()
    except (BrokenPipeError, OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _there(verb: str) -> bool:
    return (verb in VERBS or verb in HIDDEN) and find_spec(_module(verb)) is not None


def _module(verb: str) -> str:
    return f"hauberk.faces.cli.{verb}"
