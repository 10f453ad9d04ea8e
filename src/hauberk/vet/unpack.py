"""Compressed bytes as a source of plain ones, within the budget of the case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hauberk.vet.case import Broken
from hauberk.vet.source import Inflated, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

METHODS = frozenset({0, 8, 12, 14})  # of ZIP: stored, deflate, bzip2, LZMA
_IN, _OUT = 1 << 16, 1 << 18


def unpacked(method: int, body: Source, case: Case) -> Source | None:
    """The plain bytes of a ZIP member; None if the method is not read here."""
    if method == 0:
        return body
    if method == 14:
        return _lzma_member(body, case)
    name = {8: "deflate", 12: "bzip2"}.get(method)
    return opened(name, body, case) if name else None


def opened(name: str, body: Source, case: Case) -> Source:
    """The plain bytes of a stream: deflate, zlib, gzip, bzip2 or xz (which includes LZMA)."""
    return Inflated(lambda: _pieces(lambda: _decoder(name), body, case))


def _decoder(name: str) -> Any:
    if name in {"deflate", "zlib", "gzip"}:
        import zlib  # noqa: PLC0415 - each decoder is loaded where a file needs it

        return zlib.decompressobj({"deflate": -15, "zlib": 15, "gzip": 31}[name])
    if name == "bzip2":
        import bz2  # noqa: PLC0415

        return bz2.BZ2Decompressor()
    import lzma  # noqa: PLC0415

    return lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=256 << 20)


def _pieces(
    make: Callable[[], Any], body: Source, case: Case, *, open_end: bool = False
) -> Callable[[], bytes]:
    """Plain pieces one at a time; streams that follow each other are joined, as loaders do."""
    state: dict[str, Any] = {"decoder": make(), "at": 0, "rest": b""}

    def piece() -> bytes:
        while True:
            decoder = state["decoder"]
            data = state["rest"]
            if not data and getattr(decoder, "needs_input", True):
                data = body.read(state["at"], _IN)
                state["at"] += len(data)
            ended = not data and getattr(decoder, "needs_input", True)
            if decoder.eof:
                data = decoder.unused_data + data
                if not data.strip(b"\0"):
                    return b""
                state["decoder"], state["rest"] = make(), data
                continue
            plain = _decoded(decoder, data)
            state["rest"] = getattr(decoder, "unconsumed_tail", b"")
            case.inflate(len(plain))
            if plain:
                return plain
            if ended and open_end:
                return b""
            if ended and not decoder.eof:
                raise Broken("a compressed stream ends early")

    return piece


def _decoded(decoder: Any, data: bytes) -> bytes:
    try:
        plain: bytes = decoder.decompress(data, _OUT)
    except Exception as error:  # each library has an error of its own
        raise Broken(f"a compressed stream is broken: {error}") from None
    return plain


def _lzma_member(body: Source, case: Case) -> Source:
    """ZIP's LZMA: two bytes of version, a length, the properties, then the raw stream."""
    head = body.read(0, 9)
    length = int.from_bytes(head[2:4], "little")
    if length != 5 or len(head) < 9:
        raise Broken("a compressed stream is broken: LZMA properties")
    return raw_lzma(head[4:9], body, 9, case)


def raw_lzma(
    properties: bytes,
    body: Source,
    start: int,
    case: Case,
    *,
    two: bool = False,
    after: Sequence[int] = (),
) -> Source:
    """A raw LZMA (or LZMA2) stream with its properties apart, as ZIP and 7z keep it."""
    import lzma  # noqa: PLC0415

    if two:
        bits = properties[0] if properties else 0
        size = 0xFFFFFFFF if bits >= 40 else (2 | (bits & 1)) << (bits // 2 + 11)
        chain = [{"id": lzma.FILTER_LZMA2, "dict_size": min(size, 64 << 20)}]
    else:
        first = properties[0]
        chain = [
            {
                "id": lzma.FILTER_LZMA1,
                "dict_size": min(int.from_bytes(properties[1:5], "little"), 64 << 20),
                "lc": first % 9,
                "lp": first // 9 % 5,
                "pb": first // 45,
            }
        ]

    before = [{"id": number} for number in after]

    def make() -> Any:
        try:
            return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[*before, *chain])
        except (lzma.LZMAError, ValueError) as error:
            raise Broken(f"a compressed stream is broken: {error}") from None

    rest = Part(body, start, max(0, body.size - start))
    return Inflated(lambda: _pieces(make, rest, case, open_end=True))
