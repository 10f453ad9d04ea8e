"""``hauberk init``: a commented ``hauberk.toml`` for the model it is pointed at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from hauberk.adapters.local.files import create_file, write_file
from hauberk.core.errors import UserError
from hauberk.core.spec import Spec, parse_spec
from hauberk.faces.cli import options
from hauberk.faces.cli.glossary import TEXTS

if TYPE_CHECKING:
    from hauberk.core.spec import ClientSpec, Section

_HEAD = """\
# Settings of one guarded service. A line that is commented out shows the default.
# Each key is also a variable (harden.epochs is HAUBERK_HARDEN_EPOCHS) and --set harden.epochs=N.
# `hauberk config --show-origin` says where a value came from.
"""
_LARGEST_HEADER = 1 << 20


@click.command()
@click.argument("model", required=False, type=click.Path(path_type=Path))
@options.spec("data", "threat", "seed")
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    default="hauberk.toml",
    show_default=True,
    metavar="FILE",
    help="The file to write.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def command(*, model: Path | None, spec: Spec, to: Path, force: bool) -> None:
    """Write a commented hauberk.toml, for MODEL if one is given."""
    if model is not None:
        spec = parse_spec({**msgspec.to_builtins(spec), "model": _about(model)})
    text = written(spec).encode()
    if force:
        write_file(to, text, mode=0o644)
    elif not create_file(to, text, mode=0o644):
        raise UserError("there is one already", where=str(to), hint="--force replaces it")
    click.echo(f"wrote {to}", err=True)


def written(spec: Spec) -> str:
    """The spec as commented TOML; keys at their default are commented out."""
    parts = [_HEAD]
    for field in msgspec.structs.fields(Spec):
        section: Section = getattr(spec, field.name)
        title = (type(section).__doc__ or "").split("\n")[0]
        parts.append(f"\n# {_plain(title)}\n[{field.name}]\n")
        parts += [_line(field.name, key, section) for key in section.__struct_fields__]
    return "".join(parts)


def _line(name: str, key: str, section: Section) -> str:
    value = getattr(section, key)
    if key == "clients":
        text = _clients(value)
    elif value == getattr(type(section)(), key):
        text = f"# {key} = {'…' if value is None else _toml(value)}"
    else:
        text = f"{key} = {_toml(value)}"
    return f"{text.rstrip():<28}  # {TEXTS[f'{name}.{key}']}\n"


def _clients(clients: tuple[ClientSpec, ...]) -> str:
    if not clients:
        return '# clients = [{ name = "app", token_sha256 = "sha256:…", role = "client" }]'
    tables = [msgspec.structs.asdict(client).items() for client in clients]
    lines = [", ".join(f"{key} = {_toml(value)}" for key, value in table) for table in tables]
    return "clients = [\n" + "".join(f"  {{ {line} }},\n" for line in lines) + "]"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        # A JSON string is a TOML string, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return repr(value)


def _plain(title: str) -> str:
    """A docstring's first line without its markup."""
    return title.replace(":class:", "").replace("`", "")


def _about(path: Path) -> dict[str, str]:
    """Name and architecture of a model file, as far as it says so itself."""
    if not path.is_file():
        raise UserError("no such file", where=str(path))
    about = {"name": path.stem[:4096] or "model"}
    if path.suffix == ".safetensors":
        declared = _declared(path)
        if declared:
            about["architecture"] = declared
    return about


def _declared(path: Path) -> str | None:
    """The architecture in a safetensors header; None if there is none to be read."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = file.read(size) if size <= _LARGEST_HEADER else b""
    try:
        declared = json.loads(json.loads(header)["__metadata__"]["hauberk"])["architecture"]
    except (ValueError, KeyError, TypeError):
        return None
    return declared if isinstance(declared, str) and declared else None
