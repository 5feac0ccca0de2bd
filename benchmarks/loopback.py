"""A service on 127.0.0.1 that costs as little as it can: `python -m benchmarks.loopback [LATENCY]` prints its port."""

from __future__ import annotations

import asyncio
import sys

LINKS = b'"video":{"url":"http://127.0.0.1/clip.mp4?sig=abc"},"meta":{"usage":{"credits_used":500000}}'


class Loopback(asyncio.Protocol):
    """Speaks just enough HTTP: each POST is accepted, and each GET says that the generation is completed."""

    latency = 0.0
    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._held = b""

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
        if head.startswith(b"post"):
            Loopback.count += 1
            body = b'{"id":"gen-%d","status":"queued"}' % Loopback.count
        else:
            name = head.split(b"generation_id=", 1)[-1].split(b" ", 1)[0]
            body = b'{"id":"%s","status":"completed",%s}' % (name, LINKS)
        status = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        if self.latency:
            asyncio.get_running_loop().call_later(self.latency, self._send, status + body)
        else:
            self._send(status + body)

    def _send(self, whole: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(whole)


async def main() -> None:
    Loopback.latency = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    server = await asyncio.get_running_loop().create_server(Loopback, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
