"""Coverage-guided fuzzing of what reads a request's bytes: ``python fuzz_codecs.py SOURCE RUNS``.

Whatever the bytes are, a codec gives a request or refuses it as a fault of the client.
"""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

SOURCE, RUNS = sys.argv[1:3]
sys.path.insert(0, SOURCE)
with atheris.instrument_imports(include=["hauberk"]):
    from hauberk.core.errors import DataError
    from hauberk.faces.gateway import codec_binary, codec_grpc, codec_json, codec_v1, payload_read
    from hauberk.faces.gateway.faults import BadRequest
    from hauberk.faces.gateway.payload_join import Event, Pair


def one(data: bytes) -> None:
    """One input: its first byte chooses the codec, its second where the JSON ends."""
    kind, at, body = data[:1], data[1:2], data[2:]
    try:
        match int.from_bytes(kind) % 5:
            case 0:
                codec_json.read(body)
            case 1:
                codec_binary.read(body, min(len(body), 1 + int.from_bytes(at)))
            case 2:
                codec_v1.read(body)
            case 3:
                codec_grpc.read(body)
            case _:
                cut = int.from_bytes(at) % (len(body) + 1)
                parts = (body[:cut], body[cut:])
                events = (Event("1", "request", "s", None, part) for part in parts)
                payload_read.read(Pair(*events))
    except (BadRequest, DataError):
        return


if __name__ == "__main__":
    atheris.Setup([sys.argv[0], f"-runs={RUNS}", "-max_len=4096", "-seed=1", "-timeout=10"], one)
    atheris.Fuzz()
