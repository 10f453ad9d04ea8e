"""The model configuration and statistics extensions, as Triton's clients ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hauberk.faces.gateway.dataplane import DataPlane
    from hauberk.faces.gateway.meters import Meters


def config(plane: DataPlane, model: str, version: str | None = None) -> dict[str, Any]:
    """The model's configuration: what it takes and gives, without the batch.

    Raises:
        Missing: if there is no such model or version.
        NotNow: if no model is in force.
    """
    told = plane.metadata(model, version)
    return {
        "name": told["name"],
        "platform": told["platform"],
        "max_batch_size": told["parameters"]["hauberk_max_rows"],
        "input": [_tensor(one) for one in told["inputs"]],
        "output": [_tensor(one) for one in told["outputs"]],
    }


def statistics(
    plane: DataPlane, meters: Meters, model: str, version: str | None = None
) -> dict[str, Any]:
    """How many rows the model answered, how many requests went well and not, and their time.

    Raises:
        Missing: if there is no such model or version.
        NotNow: if no model is in force.
    """
    told = plane.metadata(model, version)
    count = meters.count
    return {
        "model_stats": [
            {
                "name": told["name"],
                "version": told["versions"][0],
                "inference_count": count.rows,
                "execution_count": count.good,
                "inference_stats": {
                    "success": {"count": count.good, "ns": int(count.good_seconds * 1e9)},
                    "fail": {"count": count.bad, "ns": int(count.bad_seconds * 1e9)},
                },
            }
        ]
    }


def _tensor(one: dict[str, Any]) -> dict[str, Any]:
    # A scalar a row is a vector of one, since a configuration knows no empty shape.
    return {
        "name": one["name"],
        "data_type": f"TYPE_{one['datatype']}",
        "dims": one["shape"][1:] or [1],
    }
