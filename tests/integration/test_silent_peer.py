"""The gRPC arguments of both ends: a peer that goes silent, without hanging up, is noticed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from ffrtmp.clock import boot_seconds, utc_now
from ffrtmp.pki import authority
from ffrtmp.pki.identity import load_identity
from ffrtmp.rpc.channel import SERVER_OPTIONS, open_channel
from ffrtmp.rpc.credentials import server_credentials

PATH = "ffrtmp.v1.WorkerService"
# Both take 20.0 s; without the ping time-out it is more than 65.
LONGEST_SILENCE = 25.0


class Cable:
    """A TCP proxy that can be cut: it then holds both connections open and carries nothing."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._whole = asyncio.Event()
        self._whole.set()

    def cut(self) -> None:
        self._whole.clear()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._copy(reader, far_writer))
            tasks.create_task(self._copy(far_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while content := await reader.read(65536):
                await self._whole.wait()
                writer.write(content)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def cable_to(port: int) -> AsyncIterator[tuple[Cable, str]]:
    cable = Cable(port)
    server = await asyncio.start_server(cable.carry, "127.0.0.1", 0)
    try:
        yield cable, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.slow
@pytest.mark.faults
async def test_w3_both_ends_of_a_cut_stream_notice_in_time(tmp_path: Path):
    """A stream that carries nothing any more: both ends notice by the ping time-out, unscaled."""
    authority.init(tmp_path, now=utc_now())
    master, worker = (
        load_identity(
            authority.issue(tmp_path, role, "n", now=utc_now(), lifetime=timedelta(days=1)),
            now=utc_now(),
        )
        for role in ("master", "worker")
    )
    noticed: asyncio.Queue[float] = asyncio.Queue()

    async def connect(requests, context) -> None:
        try:
            await context.write(b"welcome")
            async for _ in requests:
                pass
        finally:
            noticed.put_nowait(boot_seconds())

    server = grpc.aio.server(options=SERVER_OPTIONS)
    handler = grpc.stream_stream_rpc_method_handler(connect)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(PATH, {"C": handler})])
    port = server.add_secure_port("127.0.0.1:0", server_credentials(master))
    await server.start()
    async with cable_to(port) as (cable, address), open_channel(address, worker) as channel:
        call = channel.stream_stream(f"/{PATH}/C")()
        assert await call.read() == b"welcome"
        cable.cut()
        began = boot_seconds()
        with pytest.raises(grpc.aio.AioRpcError) as broken:
            await call.read()
        worker_took = boot_seconds() - began
        async with asyncio.timeout(LONGEST_SILENCE):
            master_took = await noticed.get() - began
        await server.stop(0)
    assert broken.value.code() is grpc.StatusCode.UNAVAILABLE
    assert worker_took < LONGEST_SILENCE
    assert master_took < LONGEST_SILENCE
