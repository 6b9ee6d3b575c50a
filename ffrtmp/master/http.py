"""The HTTP port: metrics and health, for machines. No path, job or name is on it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from ffrtmp.domain.errors import Unavailable

FRESH_SECONDS = 1.0

Check = Callable[[], Awaitable[str]]
"""Says what is wrong, in a word or two; empty: ready."""


class Readiness:
    """Asked at most once a second and once at a time, however often it is probed."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._problem = ""

    async def problem(self) -> str:
        async with self._asking:
            if time.monotonic() - self._asked_at > FRESH_SECONDS:
                try:
                    self._problem = await self._check()
                except Unavailable:
                    self._problem = "the store cannot write"
                self._asked_at = time.monotonic()
            return self._problem


@asynccontextmanager
async def serving_http(
    host: str, port: int, *, metrics: Callable[[], bytes], check: Check
) -> AsyncIterator[int]:
    """Serves /metrics, /healthz and /readyz; yields the port. Raises OSError."""
    readiness = Readiness(check)

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def show_health(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def show_readiness(_: web.Request) -> web.Response:
        problem = await readiness.problem()
        return web.Response(text=f"{problem or 'ready'}\n", status=503 if problem else 200)

    app = web.Application()
    app.add_routes(
        [
            web.get("/metrics", show_metrics),
            web.get("/healthz", show_health),
            web.get("/readyz", show_readiness),
        ]
    )
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, reuse_port=False)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
