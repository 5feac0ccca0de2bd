"""A service on 127.0.0.1 that costs as little as it can; it prints its port.

python -m benchmarks.loopback [LATENCY [CLIP_BYTES]]
"""

from __future__ import annotations

import asyncio
import struct
import sys
import tempfile
from email.utils import formatdate
from typing import BinaryIO

LINKS = b'"video":{"url":"http://127.0.0.1:%d/clip.mp4?sig=abc"},"meta":{"usage":{"credits_used":500000}}'
DATE = formatdate(usegmt=True).encode()
HEAD = b"HTTP/1.1 200 OK\r\nDate: " + DATE + b"\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"


def _box(kind: bytes, content: bytes, size: int = 0) -> bytes:
    return struct.pack(">I4s", size or 8 + len(content), kind) + content


FIVE_SECONDS = bytes(12) + struct.pack(">II", 1000, 5000) + bytes(80)
START = _box(b"ftyp", b"mp42\0\0\0\0mp42isom") + _box(b"moov", _box(b"mvhd", FIVE_SECONDS))
"""How a clip begins: its index first, as of one that plays while it comes. A recipe moves all that follows."""


class Loopback(asyncio.Protocol):
    """Speaks just enough HTTP: each POST is accepted, and each GET says that the generation is completed."""

    latency = 0.0
    count = port = clip_bytes = 0
    clip: BinaryIO

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._held = b""
        self._clip_sent: asyncio.Task[int] | None = None

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head, length = self._held[:end].lower(), 0
            if (at := head.find(b"content-length:")) >= 0:
                length = int(head[at + 15 :].split(b"\r\n", 1)[0])
            if len(self._held) < end + 4 + length:
                return
            self._held = self._held[end + 4 + length :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        if head.startswith(b"get /clip.mp4"):
            self._transport.write(HEAD % (b"video/mp4", self.clip_bytes))
            loop = asyncio.get_running_loop()
            self._clip_sent = loop.create_task(loop.sendfile(self._transport, self.clip, 0, self.clip_bytes))
            return
        if head.startswith(b"post"):
            Loopback.count += 1
            body = b'{"id":"gen-%d","status":"queued"}' % Loopback.count
        else:
            name = head.split(b"generation_id=", 1)[-1].split(b" ", 1)[0]
            body = b'{"id":"%s","status":"completed",%s}' % (name, LINKS % self.port)
        status = HEAD % (b"application/json", len(body))
        if self.latency:
            asyncio.get_running_loop().call_later(self.latency, self._send, status + body)
        else:
            self._send(status + body)

    def _send(self, whole: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(whole)


async def main() -> None:
    Loopback.latency = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    Loopback.clip_bytes = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryFile() as Loopback.clip:
        Loopback.clip.write(START + _box(b"mdat", b"", max(0, Loopback.clip_bytes - len(START))))
        Loopback.clip.truncate(Loopback.clip_bytes)
        server = await asyncio.get_running_loop().create_server(Loopback, "127.0.0.1", 0, backlog=1024)
        Loopback.port = server.sockets[0].getsockname()[1]
        print(Loopback.port, flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
