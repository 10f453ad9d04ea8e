"""``hauberk harden``: train a model that withstands the attacks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hauberk.core.errors import UserError
from hauberk.faces.cli import options

if TYPE_CHECKING:
    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output
    from hauberk.harden.progress import Progress

_MAX_CHECKPOINT = 1 << 31


@click.command()
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option(
    "--to",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="Where the weights go, as safetensors; the ONNX file is put beside them.",
)
@options.spec("data", "threat", "seed", "with", "harden.epochs", "model.architecture")
@options.output("table", "json")
def command(*, model: Path | None, target: Path, spec: Spec, output: Output) -> int:
    """Train MODEL on against the threat; without MODEL, train a new one.

    MODEL is a safetensors file that declares its architecture. Interrupted or killed, the same
    command goes on from the last epoch and ends with the same weights.
    """
    from hauberk.adapters.data.source import load_dataset
    from hauberk.adapters.local.files import read_file, write_file
    from hauberk.adapters.local.work import recipe
    from hauberk.adapters.models import onnx, weights
    from hauberk.adapters.models.architectures import build
    from hauberk.adapters.models.torch_model import Architecture, TorchModel
    from hauberk.core.digest import digest_bytes
    from hauberk.core.threat import ThreatModel
    from hauberk.harden.run import Run

    data = load_dataset(spec.data.source)
    declared = Architecture(
        spec.model.architecture, {"in_shape": list(data.shape), "classes": data.classes}
    )
    if model:
        start = weights.load(model)
        declared = start.architecture or declared
        module = start.module
    else:
        module = build(declared.name, declared.params, seed=spec.harden.seed)
    if list(declared.params["in_shape"]) != list(data.shape):
        raise UserError(
            f"the model takes {declared.params['in_shape']}, the data is {list(data.shape)}",
            where=str(model),
        )
    checkpoint = target.with_suffix(".checkpoint.safetensors")
    resume = read_file(checkpoint, limit=_MAX_CHECKPOINT)
    began = time.monotonic()
    with output.progress(f"hardening by {spec.harden.method}") as advance:

        def tell(now: Progress) -> None:
            advance(now.epoch, now.epochs)
            if now.robust is not None:
                output.say(f"epoch {now.epoch}: clean {now.clean:.3f}, robust {now.robust:.3f}")

        trained = recipe(spec, len(data.indices("train"))).fit(
            module,
            data.split("train"),
            data.split("validation"),
            ThreatModel(norm=spec.threat.norm, eps=spec.threat.eps),
            seed=spec.harden.seed,
            run=Run(
                checkpoint=lambda kept: write_file(checkpoint, kept),
                resume=resume,
                progress=tell,
                clock=time.monotonic,
            ),
        )
    exported = onnx.export(trained, data.shape)
    kept = weights.save(TorchModel(trained, data.bounds, declared))
    write_file(target.with_suffix(".onnx"), exported, mode=0o644)
    write_file(target, kept, mode=0o644)
    checkpoint.unlink(missing_ok=True)
    facts = {
        "weights": str(target),
        "weights_digest": digest_bytes(kept),
        "onnx_digest": digest_bytes(exported),
        "resumed": resume is not None,
        "seconds": round(time.monotonic() - began, 1),
    }
    if output.form == "json":
        output.data(facts)
    else:
        output.listing(["key", "value"], [[key, str(value)] for key, value in facts.items()])
    return 0
