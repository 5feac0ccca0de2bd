"""A wire that can be cut: a port that passes everything on to another one, for as long as it is let."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Wire:
    """What passes through; `cut` ends all connections and refuses new ones, `stall` holds them, until `mend`."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._is_cut = self._is_stalled = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None

    def cut(self) -> None:
        """End all connections, and refuse new ones."""
        self._is_cut = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._abort)

    def stall(self) -> None:
        """Keep all connections open, take new ones, and pass nothing on."""
        self._is_stalled = True

    def mend(self) -> None:
        """Let everything pass again."""
        self._is_cut = self._is_stalled = False

    def end(self) -> None:
        """Stop listening."""
        if self._loop is not None and self._ended is not None:
            self._loop.call_soon_threadsafe(self._ended.set)

    async def serve(self, started: threading.Event) -> None:
        """Pass on until `end`."""
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._ended.wait()
        server.close()
        self._abort()

    def _abort(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(inner_writer)
            try:
                await asyncio.gather(self._passed(reader, inner_writer), self._passed(inner_reader, writer))
            finally:
                self._writers.discard(inner_writer)
                inner_writer.close()
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _passed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while part := await reader.read(2**16):
                while self._is_stalled:  # noqa: ASYNC110 - set from another thread
                    await asyncio.sleep(0.02)
                writer.write(part)
                await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.close()


@contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """Give a wire to a port of this machine."""
    wire, started = Wire(port), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(wire.serve(started)), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield wire
    finally:
        wire.end()
        thread.join(10)
