"""The flags that the verbs share, as decorators.

A verb that works from the spec names the keys that it has flags for::

    @click.command()
    @click.argument("model", type=click.Path(path_type=Path))
    @options.spec("data", "threat", "seed", "harden.epochs")
    @options.state
    @options.output()
    def command(*, model: Path, spec: Spec, state: Path, output: Output) -> int: ...

It gets one resolved ``spec``: defaults, then the file, then ``HAUBERK_SECTION_KEY``, then flags.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from hauberk.core.errors import ConfigError
from hauberk.faces.cli.output import Output
from hauberk.govern.format_names import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hauberk.faces.cli.sources import Given, Settings
    from hauberk.govern.format_names import Format

F = TypeVar("F", bound="Callable[..., Any]")
DEFAULT_FILE = Path("hauberk.toml")

# Short names for the keys that most verbs have a flag for.
_SHORT = {
    "data": ("data.source", "SOURCE"),
    "threat": ("threat", "NORM:EPS"),
    "seed": ("harden.seed", "N"),
    "with": ("harden.method", "NAMES"),
}


def spec(*names: str) -> Callable[[F], Callable[..., Any]]:
    """Add ``--config``, ``--set`` and a flag for each name; pass ``spec``.

    A name is ``data``, ``threat``, ``seed`` or a dotted key, whose flag is its last part:
    ``harden.epochs`` is ``--epochs``.
    """
    return _resolved(names, lambda settings: {"spec": settings.spec})


def settings(*names: str) -> Callable[[F], Callable[..., Any]]:
    """As :func:`spec`, but pass ``settings``, which also says where each value came from."""
    return _resolved(names, lambda settings: {"settings": settings})


def state(function: F) -> F:
    """Add ``--state``; pass ``state``, the directory of models, ledger and keys."""
    return click.option(
        "--state",
        type=click.Path(file_okay=False, path_type=Path),
        default=".hauberk",
        envvar="HAUBERK_STATE",
        metavar="DIR",
        show_default=True,
        help="Directory of models, ledger and keys. [env: HAUBERK_STATE]",
    )(function)


def output(*formats: Format) -> Callable[[F], Callable[..., Any]]:
    """Add ``--format``, ``-o`` and ``--quiet``; pass ``output``.

    The formats are those given, the first being the default; without any, all of them.
    """
    choices = formats or FORMATS

    def decorate(function: F) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*args: Any, form: Format, to: Path | None, quiet: bool, **rest: Any) -> Any:
            return function(*args, output=Output(form=form, path=to, quiet=quiet), **rest)

        for option in (
            click.option(
                "--quiet", "-q", is_flag=True, envvar="HAUBERK_QUIET", help="No progress."
            ),
            click.option(
                "--output",
                "-o",
                "to",
                type=click.Path(dir_okay=False, path_type=Path),
                envvar="HAUBERK_OUTPUT",
                metavar="FILE",
                help="Write the result to a file, whole or not at all.",
            ),
            click.option(
                "--format",
                "form",
                type=click.Choice(choices),
                default=choices[0],
                envvar="HAUBERK_FORMAT",
                show_default=True,
                help="Form of the result.",
            ),
        ):
            run = option(run)
        return run

    return decorate


def _resolved(
    names: tuple[str, ...], passed: Callable[[Settings], dict[str, Any]]
) -> Callable[[F], Callable[..., Any]]:
    def decorate(function: F) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*args: Any, config: Path | None, assignments: tuple[str, ...], **rest: Any) -> Any:
            from hauberk.faces.cli.sources import resolve

            given = [*_assigned(assignments), *_flags(names, rest)]
            file = config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
            return function(*args, **passed(resolve(file, os.environ, given)), **rest)

        run = click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="KEY=VALUE",
            help="Set any key of hauberk.toml, as in --set loop.cooldown=60.",
        )(run)
        for name in reversed(names):
            run = _flag(name)(run)
        return click.option(
            "--config",
            type=click.Path(dir_okay=False, path_type=Path),
            envvar="HAUBERK_CONFIG",
            metavar="FILE",
            help="The settings. [default: hauberk.toml, if there is one; env: HAUBERK_CONFIG]",
        )(run)

    return decorate


def _flag(name: str) -> Callable[[F], F]:
    from hauberk.faces.cli.glossary import TEXTS
    from hauberk.faces.cli.sources import variable

    key, metavar = _SHORT.get(name, (name, "VALUE"))
    extra = [f"HAUBERK_{name.upper()}"] if name in _SHORT else []
    text = TEXTS.get(key, "the attacker's budget, as in linf:0.15 or linf:8/255")
    keys = "threat.norm, threat.eps" if key == "threat" else key
    return click.option(
        f"--{_parameter(name).replace('_', '-')}",
        _parameter(name),
        envvar=[*extra, variable(key)] if key != "threat" else extra,
        metavar=metavar,
        help=f"{text[:1].upper()}{text[1:]}. [{keys}]",
    )


def _flags(names: tuple[str, ...], rest: dict[str, Any]) -> Iterator[Given]:
    """Take the spec's flags out of a command's arguments."""
    from hauberk.faces.cli.sources import Given

    context = click.get_current_context()
    for name in names:
        parameter = _parameter(name)
        text = rest.pop(parameter)
        if text is None:
            continue
        flag = f"--{parameter.replace('_', '-')}"
        source = context.get_parameter_source(parameter)
        by_variable = source is ParameterSource.ENVIRONMENT
        yield Given(
            _SHORT.get(name, (name, ""))[0],
            text,
            f"HAUBERK_{name.replace('.', '_').upper()}" if by_variable else flag,
        )


def _assigned(assignments: tuple[str, ...]) -> Iterator[Given]:
    from hauberk.faces.cli.sources import Given

    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(
                f"cannot read {assignment!r}", where="--set", hint="write it as KEY=VALUE"
            )
        yield Given(key.strip(), text, f"--set {key.strip()}")


def _parameter(name: str) -> str:
    return name.rpartition(".")[2]
