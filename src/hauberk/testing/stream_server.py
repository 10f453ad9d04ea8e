"""A V2 server in a process of its own whose answers flow, or break off, as the version asked says.

``python -m hauberk.testing.stream_server PORT`` reads a body and answers a POST to
``/versions/MODE-SIZE/infer`` with SIZE bytes, of which each is its place modulo 251. ``MODE`` is
``length`` (announced), ``chunked``, ``slow`` (a pause after each piece), ``hang`` (no answer),
``stall`` (none after half), ``cut`` (closed after half of what was announced), ``cutchunked``,
``reset``, ``error`` (500), ``refuse`` (400) or ``page`` (HTML). The head of an answer holds the
SHA-256 of the body as its content encoding, since that passes the gateway.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 2**16
_PATTERN = bytes(range(251)) * (PIECE // 251 + 2)


def answer_of(size: int) -> bytes:
    """What an answer of so many bytes holds."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


async def _body(reader: asyncio.StreamReader, head: str) -> str:
    """Read a body; its digest."""
    seen, fields = hashlib.sha256(), {}
    for line in head.lower().split("\r\n")[1:]:
        name, _, value = line.partition(":")
        fields[name] = value.strip()
    if "chunked" in fields.get("transfer-encoding", ""):
        while size := int(await reader.readline(), 16):
            seen.update(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readline()
        return seen.hexdigest()
    left = int(fields.get("content-length", "0"))
    while left and (piece := await reader.read(min(left, PIECE))):
        seen.update(piece)
        left -= len(piece)
    return seen.hexdigest()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ", 2)[1]
            mode, _, size = path.removesuffix("/infer").rpartition("/")[2].partition("-")
            digest = await _body(reader, head)
            if not path.endswith("/infer"):
                told = b'{"name": "inner", "inputs": [], "outputs": []}'
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(told) + told)
                continue
            if not await _answer(writer, mode, int(size or 0), digest):
                break
    writer.close()


async def _answer(writer: asyncio.StreamWriter, mode: str, size: int, digest: str) -> bool:
    """Answer, or misbehave; whether the connection goes on."""
    if mode == "hang":
        await asyncio.sleep(60)
    status = {"error": "500 No", "refuse": "400 No"}.get(mode, "200 OK")
    kind = "text/html" if mode == "page" else "application/octet-stream"
    chunked = mode in {"chunked", "cutchunked"}
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Encoding: {digest}\r\n{length}"
    writer.write(f"{head}\r\n\r\n".encode())
    sent, most = 0, size
    if mode in {"cut", "cutchunked", "reset", "stall"}:
        most = size // 2
    while sent < most:
        start = sent % 251
        piece = _PATTERN[start : start + min(PIECE, most - sent)]
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await writer.drain()
        sent += len(piece)
        if mode == "slow":
            await asyncio.sleep(0.05)
    if mode == "stall":
        await asyncio.sleep(60)
    if mode == "reset":
        await asyncio.sleep(0.1)  # what was sent is not to be lost with the rest
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
    if mode == "chunked":
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    return mode in {"length", "chunked", "slow", "error", "refuse", "page"}


async def _listen(port: int) -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", port, limit=PIECE)
    async with server:
        await server.serve_forever()


@contextmanager
def stream_server() -> Iterator[str]:
    """Run one; its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "hauberk.testing.stream_server", str(port)])
    try:
        for _ in range(200):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    asyncio.run(_listen(int(sys.argv[1])))
