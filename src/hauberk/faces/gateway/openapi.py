"""The gateway's HTTP interface as OpenAPI 3.1, for clients that are generated and for fuzzers."""

from __future__ import annotations

from typing import Any

from hauberk import __version__
from hauberk.faces.gateway.limits import MAX_ID, MAX_RANK, MAX_TENSORS
from hauberk.faces.gateway.tensors import DATATYPES

_JSON = "application/json"
_NAME = {"type": "string", "maxLength": 256}
_VALUES = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_SIZES = {"type": "array", "items": {"type": "integer", "minimum": -1}, "maxItems": MAX_RANK}
_TENSOR: dict[str, Any] = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": _NAME,
        "datatype": {"enum": sorted(DATATYPES)},
        "shape": _SIZES,
        "parameters": _VALUES,
        "data": {"type": "array"},
    },
}
_INPUTS = {"type": "array", "items": _TENSOR, "minItems": 1, "maxItems": MAX_TENSORS}
SCHEMAS: dict[str, Any] = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string"}},
    },
    "Request": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "maxLength": MAX_ID},
            "parameters": _VALUES,
            "inputs": _INPUTS,
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": _NAME, "parameters": _VALUES},
                },
            },
        },
    },
    "Response": {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "model_name": _NAME,
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": _VALUES,
            "outputs": {"type": "array", "items": _TENSOR},
        },
    },
    "Rows": {
        "type": "object",
        "required": ["instances"],
        "properties": {"instances": {"type": "array", "minItems": 1}},
    },
    "Predictions": {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "items": {"type": "integer"}}},
    },
    "Any": {"type": ["object", "array"]},
}
# Path, method, what it is for, the body that it takes, the one that it gives, open to all.
_PATHS: tuple[tuple[str, str, str, str, str, bool], ...] = (
    ("/v2/health/live", "get", "the process runs", "", "Any", True),
    ("/v2/health/ready", "get", "requests are answered", "", "Any", True),
    ("/v2", "get", "the server's metadata", "", "Any", False),
    ("/v2/models/{model}", "get", "the model's metadata", "", "Any", False),
    ("/v2/models/{model}/ready", "get", "the model is ready", "", "Any", False),
    ("/v2/models/{model}/config", "get", "the model's configuration", "", "Any", False),
    ("/v2/models/{model}/stats", "get", "the model's statistics", "", "Any", False),
    ("/v2/models/{model}/infer", "post", "inference", "Request", "Response", False),
    ("/v2/models/{model}/versions/{version}", "get", "a version's metadata", "", "Any", False),
    ("/v2/models/{model}/versions/{version}/ready", "get", "it is ready", "", "Any", False),
    (
        "/v2/models/{model}/versions/{version}/infer",
        "post",
        "inference by a version",
        "Request",
        "Response",
        False,
    ),
    ("/v2/repository/index", "post", "the models there are", "Any", "Any", False),
    ("/v2/repository/models/{model}/load", "post", "load a model", "Any", "Any", False),
    ("/v2/repository/models/{model}/unload", "post", "unload it", "Any", "Any", False),
    ("/v2/hauberk/log", "get", "one's own entries of the sealed log", "", "Any", False),
    ("/v2/hauberk/status", "get", "the gateway's state, for operators", "", "Any", False),
    ("/v2/hauberk/routing", "get", "the routing, for operators", "", "Any", False),
    ("/v1/models", "get", "the models there are", "", "Any", False),
    ("/v1/models/{model}", "get", "the model is ready", "", "Any", False),
    ("/v1/models/{model}:predict", "post", "a label a row", "Rows", "Predictions", False),
)
_REFUSALS = (400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 502, 503, 504)


def document() -> dict[str, Any]:
    """The whole document, as plain values."""
    paths: dict[str, Any] = {}
    for path, method, what, takes, gives, is_open in _PATHS:
        paths.setdefault(path, {})[method] = _operation(path, what, takes, gives, is_open=is_open)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hauberk gateway",
            "version": __version__,
            "description": "Open Inference Protocol V2 and V1 predict, with what the gateway adds.",
        },
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(path: str, what: str, takes: str, gives: str, *, is_open: bool) -> dict[str, Any]:
    names = [part for part in ("model", "version") if f"{{{part}}}" in path]
    operation: dict[str, Any] = {
        "summary": what,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ],
        "responses": {
            "200": {"description": "done", "content": {_JSON: {"schema": _ref(gives)}}},
            **{
                str(code): {"description": "refused", "content": {_JSON: {"schema": _ref("Error")}}}
                for code in _REFUSALS
            },
        },
    }
    if path.endswith("/log"):
        after = {"type": "integer", "minimum": 0}
        operation["parameters"].append({"name": "after", "in": "query", "schema": after})
    if takes:
        content = {_JSON: {"schema": _ref(takes)}}
        operation["requestBody"] = {"required": takes != "Any", "content": content}
    if is_open:
        operation["security"] = []
    return operation


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
