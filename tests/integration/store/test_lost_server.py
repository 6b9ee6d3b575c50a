"""A PostgreSQL that goes away and comes back: a server of our own, killed and stopped at will."""

import asyncio

import asyncpg
import pytest

from ffrtmp.domain.errors import StoreFailing, Unavailable
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.records import JobFilter
from tests.integration.store.conftest import claim, new_job, open_worker

pytestmark = pytest.mark.postgres


@pytest.fixture
async def server(make_own_postgres):
    """Running, with an empty database."""
    server = make_own_postgres()
    await asyncio.to_thread(server.start)
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("DROP SCHEMA public CASCADE")
    await connection.execute("CREATE SCHEMA public")
    await connection.close()
    return server


async def kill(server, which: str = "true") -> int:
    """Ends our connections, as if the network had; returns how many."""
    connection = await asyncpg.connect(server.dsn)
    rows = await connection.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE application_name = 'ffrtmp' AND {which}"
    )
    await connection.close()
    return len(rows)


async def test_d6_a_dead_listener_listens_again(server):
    async with PostgresStore.open(server.dsn) as first, PostgresStore.open(server.dsn) as second:
        async with asyncio.timeout(10):
            await second.news()  # it listens
        assert await kill(server, "query ILIKE 'LISTEN%'") > 0
        async with asyncio.timeout(15):
            await second.news()  # it listens again
            news = asyncio.ensure_future(second.news())
            while not news.done():
                await first.check()
                await asyncio.sleep(0.05)


async def patiently(call, *arguments):
    """What a client does: the same again until it is done."""
    while True:
        try:
            return await call(*arguments)
        except Unavailable:
            await asyncio.sleep(0.02)


async def test_d12_killed_connections_cost_a_retry_and_nothing_else(server):
    async with PostgresStore.open(server.dsn) as store, asyncio.timeout(60):
        submitted: set[str] = set()
        stop = asyncio.Event()

        async def submit(first: int) -> None:
            number = first
            while not stop.is_set():
                [job] = await patiently(store.submit, [new_job(number)])
                submitted.add(job.job_id)
                number += 10

        async def kill_all() -> None:
            for _ in range(8):
                await asyncio.sleep(0.25)
                await kill(server)
            stop.set()

        await asyncio.gather(kill_all(), *(submit(first) for first in range(1, 11)))
        assert len(submitted) > 20
        for job_id in submitted:
            [event] = await patiently(store.events, job_id)
            assert event.number == 1


async def test_d1_a_restart_of_the_server_under_load_loses_nothing_and_all_goes_on(server, capsys):
    """Submits, grants and renewals go on all the while; every caller only ever repeats itself."""
    async with PostgresStore.open(server.dsn) as store, asyncio.timeout(120):
        submitted: list[str] = []
        granted: list[str] = []
        errors: list[Unavailable] = []
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        done_at: list[float] = []

        async def submit(first: int) -> None:
            number = first
            while not stop.is_set():
                try:
                    [job] = await store.submit([new_job(number)])
                except Unavailable as error:
                    errors.append(error)
                    await asyncio.sleep(0.05)
                    continue
                submitted.append(job.job_id)
                done_at.append(loop.time())
                number += 8

        async def work(worker) -> None:
            while not stop.is_set():
                try:
                    granted.extend(job.job_id for job in await claim(store, worker, 2))
                    await store.renew([worker.session])
                except Unavailable as error:
                    errors.append(error)
                    await asyncio.sleep(0.05)

        async def restart() -> float:
            await reached(done_at, 50)
            await asyncio.to_thread(server.stop)
            while not errors:
                await asyncio.sleep(0.01)
            count = len(done_at)
            up_at, _ = await asyncio.gather(answers(server), asyncio.to_thread(server.start))
            await reached(done_at, count + 50)
            stop.set()
            return done_at[count] - up_at

        workers = [await open_worker(store, f"w{number}") for number in range(4)]
        resumed, *_ = await asyncio.gather(
            restart(),
            *(submit(first) for first in range(1, 9)),
            *(work(worker) for worker in workers),
        )
        with capsys.disabled():
            print(f"\nresumed {max(0.0, resumed):.2f} s after PostgreSQL was back (goal 3 s)")  # noqa: T201
        stored = {r.job.job_id for r in await store.find(JobFilter(), size=100_000, after=None)}
        assert stored >= set(submitted)
        assert len(submitted) == len(set(submitted))
        assert len(granted) == len(set(granted))
        assert len(stored) - len(submitted) <= 8  # committed, and the answer lost with its caller
        assert resumed < 3 * 3


async def answers(server) -> float:
    """When it first takes a connection again."""
    while True:
        try:
            connection = await asyncpg.connect(server.dsn)
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(0.01)
            continue
        up_at = asyncio.get_running_loop().time()
        await connection.close()
        return up_at


async def reached(done: list[float], count: int) -> None:
    while len(done) < count:
        await asyncio.sleep(0.01)


async def test_while_the_server_is_away_callers_are_told_so_at_once(server):
    async with PostgresStore.open(server.dsn) as store, asyncio.timeout(60):
        await store.submit([new_job(1)])
        await asyncio.to_thread(server.stop)
        for call in (store.check(), store.submit([new_job(2)]), store.renewals()):
            with pytest.raises(StoreFailing, match="PostgreSQL cannot be reached"):
                await call
        await asyncio.to_thread(server.start)
        await patiently(store.check)
        assert len(await patiently(store.renewals)) == 0
