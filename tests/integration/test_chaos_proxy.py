"""The proxy of a chaos run: late, but all of it and in order; cut when it is told to."""

import asyncio
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest

from ffrtmp.sim.chaos.proxy import Proxy


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while content := await reader.read(1000):
            writer.write(content)
    writer.close()


@pytest.fixture
async def proxy():
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Proxy(f"127.0.0.1:{port}", Random(1)).running() as running:
            yield running


@asynccontextmanager
async def dial(proxy: Proxy):
    host, _, port = proxy.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize(("latency", "loss"), [(0.0, 0.0), (0.06, 0.0), (0.0, 0.5)])
async def test_what_is_late_arrives_whole_and_in_order(proxy, latency, loss):
    proxy.latency, proxy.loss = latency, loss
    async with dial(proxy) as (reader, writer):
        sent = bytes(range(256)) * 2000
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent
        assert (proxy.pieces > 0) == bool(latency or loss)
        writer.write_eof()
        assert await reader.read() == b""


async def test_what_is_held_arrives_when_it_is_released(proxy):
    async with dial(proxy) as (reader, writer):
        proxy.hold()
        writer.write(b"x")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.read(1)
        proxy.release()
        assert await reader.read(1) == b"x"


async def test_a_cut_resets_both_ends(proxy):
    async with dial(proxy) as (reader, writer):
        writer.write(b"x")
        assert await reader.read(1) == b"x"
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        assert proxy.cut() == 0
