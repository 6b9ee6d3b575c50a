"""The HTTP port: alive, ready, and the metrics, with nobody's names on them."""

import asyncio
import json
import sqlite3
from contextlib import closing

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ffrtmp.clock import boot_seconds, utc_now
from ffrtmp.domain.errors import StoreBusy
from ffrtmp.domain.job import Failure
from ffrtmp.domain.messages import Failed, Offer, OfferReply, ResultAck, ResultOutcome
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.timers import Timers
from ffrtmp.master import tally
from ffrtmp.master.http import serving_http
from ffrtmp.master.master import Master
from ffrtmp.master.server import STALE_TICK_SECONDS, problem_of
from ffrtmp.store.sqlite import SqliteStore
from ffrtmp.telemetry.reference import families
from ffrtmp.v1.job_service_pb2_grpc import JobServiceStub


async def fetch(address: str, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.get(f"http://{address}{path}") as answer:
        return answer.status, await answer.text()


async def value_of(address: str, sample: str) -> float | None:
    """Of one line of /metrics."""
    _, text = await fetch(address, "/metrics")
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return float(values[sample]) if sample in values else None


async def test_a_running_master_is_alive_and_ready(run):
    async with run() as master:
        assert await fetch(master.http, "/healthz") == (200, "alive\n")
        assert await fetch(master.http, "/readyz") == (200, "ready\n")
        assert master.http.startswith("127.0.0.1:")


async def test_other_paths_and_methods_are_refused(run):
    async with run() as master, aiohttp.ClientSession() as http:
        for path in ("/", "/metrics/", "/jobs", "/../etc/passwd"):
            assert (await fetch(master.http, path))[0] == 404
        async with http.post(f"http://{master.http}/metrics") as answer:
            assert answer.status == 405


@pytest.mark.requirement("G14")
async def test_metrics_count_jobs_workers_and_slots(run, stream, request_for):
    async with run() as master, master.dial("client-c") as client, master.dial("worker-w1") as wire:
        await JobServiceStub(client).SubmitJob(request_for())
        worker = stream(wire)
        await worker.hello(slots=3)
        await worker.say(OfferReply((await worker.hear(Offer)).key))
        running = 'ffrtmp_job_moves_total{cause="accepted",state="running"}'
        async with asyncio.timeout(5):
            while await value_of(master.http, running) != 1:
                pass
        http = master.http
        submitted = 'ffrtmp_job_moves_total{cause="submitted",state="queued"}'
        assert await value_of(http, submitted) == 1
        assert await value_of(http, 'ffrtmp_workers{state="connected"}') == 1
        assert await value_of(http, 'ffrtmp_slots{state="total"}') == 3
        assert await value_of(http, 'ffrtmp_slots{state="free"}') == 2
        assert await value_of(http, 'ffrtmp_queue_wait_seconds_count{queue="default"}') == 1
        assert await value_of(http, "ffrtmp_claim_seconds_count") >= 1
        assert await value_of(http, "ffrtmp_dispatch_seconds_count") == 1
        assert await value_of(http, 'ffrtmp_offers_total{outcome="accepted"}') == 1
        assert await value_of(http, 'ffrtmp_store_statement_seconds_count{name="claimable"}') >= 1
        assert await value_of(http, "ffrtmp_store_group_size_count") >= 3
        assert 0 <= await value_of(http, "ffrtmp_heartbeat_age_seconds") < 5


async def test_words_about_an_attempt_that_is_over_are_counted(run, stream, request_for):
    async with run() as master, master.dial("client-c") as client, master.dial("worker-w1") as wire:
        await JobServiceStub(client).SubmitJob(request_for())
        worker = stream(wire)
        await worker.hello()
        key = (await worker.hear(Offer)).key
        await worker.say(OfferReply(key))
        older = AttemptKey(key.job_id, key.fence - 1)
        await worker.say(Failed(older, Failure(reason=Reason.TIMED_OUT, message="late")))
        assert (await worker.hear(ResultAck)).outcome is ResultOutcome.STALE
        assert await value_of(master.http, 'ffrtmp_stale_messages_total{what="failed"}') == 1
        assert await value_of(master.http, 'ffrtmp_offers_total{outcome="accepted"}') == 1


async def test_jobs_are_counted_beside_the_work_and_not_for_a_scrape(run, request_for, monkeypatch):
    monkeypatch.setattr(tally, "EVERY_SECONDS", 0.05)
    async with run() as master, master.dial("client-c") as client:
        stub = JobServiceStub(client)
        for number in range(3):
            await stub.SubmitJob(request_for(f"{number}.mp4", f"k{number}"))
        http = master.http
        async with asyncio.timeout(20):
            while await value_of(http, 'ffrtmp_queue_depth{queue="default"}') != 3:
                await asyncio.sleep(0.01)
        assert await value_of(http, 'ffrtmp_jobs{state="queued"}') == 3
        assert await value_of(http, 'ffrtmp_jobs{state="running"}') == 0
        assert await value_of(http, 'ffrtmp_queue_oldest_seconds{queue="default"}') > 0
        counted = 'ffrtmp_store_statement_seconds_count{name="depths"}'
        monkeypatch.setattr(tally, "EVERY_SECONDS", 3600.0)
        async with asyncio.timeout(20):  # the pause that had begun
            while await value_of(http, "ffrtmp_jobs_counted_seconds") < 1.5:
                await asyncio.sleep(0.01)
        before = await value_of(http, counted)
        for _ in range(20):
            await fetch(http, "/metrics")
        assert await value_of(http, counted) == before


@pytest.mark.requirement("G13")
async def test_a_scrape_shows_what_the_reference_lists_and_nothing_else(run, stream, request_for):
    """What was never counted has no sample yet; its name and type are there."""
    async with run() as master, master.dial("client-c") as client, master.dial("worker-w1") as wire:
        await JobServiceStub(client).SubmitJob(request_for())
        worker = stream(wire)
        await worker.hello()
        await worker.say(OfferReply((await worker.hear(Offer)).key))
        _, text = await fetch(master.http, "/metrics")
    listed = {family.name.removesuffix("_total"): family for family in families()}
    scraped = {family.name: family for family in text_string_to_metric_families(text)}
    assert scraped.keys() == listed.keys()
    assert "_created" not in text
    for name, family in scraped.items():
        assert (family.type, family.documentation) == (listed[name].kind, listed[name].meaning)
        assert {sample.name for sample in family.samples} <= listed[name].samples
        labels = {label for sample in family.samples for label in sample.labels}
        assert labels - {"le"} in ({*listed[name].labels}, set())


async def test_no_job_path_or_name_is_on_the_port(run, stream, request_for):
    async with run() as master, master.dial("client-c") as client, master.dial("worker-w1") as wire:
        job = (await JobServiceStub(client).SubmitJob(request_for("secret.mp4", "a-key"))).job
        await stream(wire).hello()
        pages = [await fetch(master.http, path) for path in ("/metrics", "/healthz", "/readyz")]
        shown = json.dumps(pages)
        hidden = (job.job_id, "secret", "a-key", '"w1"', "client/c", master.store)
        assert [text for text in hidden if text in shown] == []


async def test_readiness_is_red_while_a_stranger_locks_the_database(run):
    async with run() as master:
        with closing(sqlite3.connect(master.store, isolation_level=None)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            assert await fetch(master.http, "/readyz") == (503, "the store cannot write\n")
            assert await fetch(master.http, "/healthz") == (200, "alive\n")
            stranger.execute("ROLLBACK")
        async with asyncio.timeout(5):
            while (await fetch(master.http, "/readyz"))[0] != 200:
                pass


async def test_readiness_is_red_when_the_dispatcher_does_not_tick(tmp_path):
    def seconds() -> float:
        return boot_seconds() - STALE_TICK_SECONDS - 1

    async with SqliteStore.open(tmp_path / "master.db") as store:
        master = Master(
            store,
            Timers(),
            clocks=(utc_now, seconds),
            chance=lambda: 0.0,
            new_id=lambda: "1",
            observe=lambda _: None,
        )
        assert await problem_of(master, store) == "the dispatcher does not tick"


@pytest.fixture
def no_metrics():
    return lambda: b""


async def test_probes_at_once_ask_the_store_once(no_metrics):
    asked = []

    async def check() -> str:
        asked.append(1)
        await asyncio.sleep(0.05)
        raise StoreBusy(2.0)

    async with serving_http("127.0.0.1", 0, metrics=no_metrics, check=check) as port:
        address = f"127.0.0.1:{port}"
        answers = await asyncio.gather(*(fetch(address, "/readyz") for _ in range(20)))
    assert set(answers) == {(503, "the store cannot write\n")}
    assert len(asked) == 1


async def test_the_port_is_free_again_after_its_end(no_metrics):
    async def check() -> str:
        return ""

    async with serving_http("127.0.0.1", 0, metrics=no_metrics, check=check) as port:
        pass
    async with serving_http("127.0.0.1", port, metrics=no_metrics, check=check) as again:
        assert again == port
