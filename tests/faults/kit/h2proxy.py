"""An HTTP/2 proxy that ends TLS on both sides, as load balancers do, and does what they do wrong.

To the worker it is a master, by a certificate of the same CA; to the master it is that worker,
whose key it holds. Each connection of the worker gets one to the master, with the same streams.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

CHUNK = 65536
LOOK_SECONDS = 0.05


class H2Proxy:
    """`address` is where it listens. What it does wrong is set while it runs."""

    def __init__(self, target: str, certs: Path, worker: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._near_tls = _context(certs / "master-m1", server=True)
        self._far_tls = _context(certs / f"worker-{worker}", server=False)
        self.idle_limit = 0.0
        """A stream that carries no DATA for so many seconds is reset; 0: never."""
        self.drops_data = False
        self.is_mute = False
        """It takes streams and carries nothing of them."""
        self.connections = 0
        self.resets = 0
        self._open: set[_Pair] = set()
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=[listener], daemon=True)
        self._thread.start()

    def go_away(self, code: h2.errors.ErrorCodes, text: bytes = b"") -> None:
        """To the worker, on every connection; streams there go on until they end."""
        self._do(lambda: [pair.go_away(code, text) for pair in set(self._open)])

    def reset_streams(self, code: h2.errors.ErrorCodes) -> None:
        self._do(lambda: [pair.reset(code) for pair in set(self._open)])

    def end_streams(self) -> None:
        """The worker sees an end without a status, as if the master had hung up."""
        self._do(lambda: [pair.end() for pair in set(self._open)])

    def close(self) -> None:
        self._do(self._stopped.set)
        self._thread.join()

    def _do(self, call: Callable[[], Any]) -> None:
        """In the proxy's thread; returns when it is done."""
        done: Future[Any] = Future()

        def work() -> None:
            try:
                done.set_result(call())
            except Exception as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(work)
        done.result(10)

    def _run(self, listener: socket.socket) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        async with await asyncio.start_server(self._carry, sock=listener, ssl=self._near_tls):
            await self._stopped.wait()
            for pair in set(self._open):
                pair.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far = await asyncio.open_connection(
                *self._target, ssl=self._far_tls, server_hostname="localhost"
            )
        except OSError:
            writer.transport.abort()
            return
        self.connections += 1
        pair = _Pair(self, (reader, writer), far)
        self._open.add(pair)
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await pair.run()
        pair.abort()
        self._open.discard(pair)


class _Side:
    """One connection of a pair, and what waits for room in its windows."""

    def __init__(
        self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], *, is_client: bool
    ) -> None:
        self.reader, self.writer = streams
        config = h2.config.H2Configuration(client_side=is_client, header_encoding=None)
        self.h2 = h2.connection.H2Connection(config)
        self._waiting: dict[int, deque[bytes]] = {}
        self._endings: dict[int, list[tuple[bytes, bytes]] | None] = {}

    def begin(self) -> None:
        self.h2.initiate_connection()
        self.flush()

    def data(self, stream: int, content: bytes) -> None:
        self._waiting.setdefault(stream, deque()).append(content)
        self.send_waiting(stream)

    def finish(self, stream: int, trailers: list[tuple[bytes, bytes]] | None) -> None:
        self._endings[stream] = trailers
        self.send_waiting(stream)

    def send_waiting(self, stream: int) -> None:
        waiting = self._waiting.get(stream, deque())
        while waiting:
            most = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if most <= 0:
                return
            content = waiting.popleft()
            if len(content) > most:
                waiting.appendleft(content[most:])
            self.h2.send_data(stream, content[:most])
        if stream in self._endings:
            trailers = self._endings.pop(stream)
            if trailers is None:
                self.h2.end_stream(stream)
            else:
                self.h2.send_headers(stream, trailers, end_stream=True)

    def all_waiting(self) -> None:
        for stream in list(self._waiting):
            self.send_waiting(stream)

    def flush(self) -> None:
        content = self.h2.data_to_send()
        if not self.writer.transport.is_closing():
            self.writer.write(content)


class _Pair:
    def __init__(self, proxy: H2Proxy, near: Any, far: Any) -> None:
        self._proxy = proxy
        self._near = _Side(near, is_client=False)
        self._far = _Side(far, is_client=True)
        self._carried_at: dict[int, float] = {}

    async def run(self) -> None:
        for side in (self._near, self._far):
            side.begin()
        async with asyncio.TaskGroup() as tasks:
            idle = tasks.create_task(self._watch_idle())
            ways = ((self._near, self._far), (self._far, self._near))
            copies = [tasks.create_task(self._copy(*way)) for way in ways]
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            self.abort()
            idle.cancel()

    async def _copy(self, source: _Side, sink: _Side) -> None:
        while content := await source.reader.read(CHUNK):
            for event in source.h2.receive_data(content):
                with contextlib.suppress(h2.exceptions.ProtocolError):  # it has ended meanwhile
                    self._pass_on(event, source, sink)
            source.flush()
            sink.flush()

    def _pass_on(self, event: h2.events.Event, source: _Side, sink: _Side) -> None:
        match event:
            case h2.events.DataReceived():
                source.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if not (self._proxy.drops_data or self._proxy.is_mute):
                    self._carried_at[event.stream_id] = time.monotonic()
                    sink.data(event.stream_id, event.data)
            case h2.events.RequestReceived() | h2.events.ResponseReceived():
                self._carried_at[event.stream_id] = time.monotonic()
                if not self._proxy.is_mute:
                    sink.h2.send_headers(event.stream_id, event.headers)
            case h2.events.TrailersReceived():
                sink.finish(event.stream_id, event.headers)
            case h2.events.StreamEnded() if event.stream_id in self._carried_at:
                self._carried_at.pop(event.stream_id)
                sink.finish(event.stream_id, None)
            case h2.events.StreamReset():
                self._carried_at.pop(event.stream_id, None)
                sink.h2.reset_stream(event.stream_id, event.error_code)
            case h2.events.WindowUpdated():
                source.all_waiting()
            case _:
                pass  # settings and pings are each side's own

    async def _watch_idle(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            limit = self._proxy.idle_limit
            for stream, at in list(self._carried_at.items()):
                if limit and time.monotonic() - at > limit:
                    self._proxy.resets += 1
                    self._reset(stream, h2.errors.ErrorCodes.CANCEL)

    def go_away(self, code: h2.errors.ErrorCodes, text: bytes) -> None:
        with contextlib.suppress(h2.exceptions.ProtocolError):  # it is closed already
            self._near.h2.close_connection(code, text)
            self._near.flush()
        self.abort()

    def reset(self, code: h2.errors.ErrorCodes) -> None:
        for stream in list(self._carried_at):
            self._reset(stream, code)

    def _reset(self, stream: int, code: h2.errors.ErrorCodes) -> None:
        self._carried_at.pop(stream, None)
        for side in (self._near, self._far):
            with contextlib.suppress(h2.exceptions.ProtocolError):
                side.h2.reset_stream(stream, code)
            side.flush()

    def end(self) -> None:
        for stream in list(self._carried_at):
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self._near.h2.end_stream(stream)
        self._near.flush()

    def abort(self) -> None:
        """The near side is closed after what was written: a GOAWAY arrives."""
        self._near.writer.close()
        self._far.writer.transport.abort()


def _context(identity: Path, *, server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(identity / "tls.pem", identity / "tls.key")
    context.load_verify_locations(identity / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    return context
