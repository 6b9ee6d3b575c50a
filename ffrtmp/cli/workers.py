"""`ffrtmp workers`: list, get, drain, resume, release, remove."""

from collections.abc import Mapping
from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp

from ffrtmp.cli.attempts import Attempts, attempts_of
from ffrtmp.cli.connect import with_client
from ffrtmp.cli.errors import Exit
from ffrtmp.cli.follow import print_json, print_object
from ffrtmp.cli.shown import show_count, show_span
from ffrtmp.cli.table import Table, tell
from ffrtmp.client import Client
from ffrtmp.clock import utc_now
from ffrtmp.config import ClientSettings
from ffrtmp.domain.labels import written
from ffrtmp.rpc.enums import LIMIT_WAYS, WORKER_STATES
from ffrtmp.v1 import admin_service_pb2 as pb

GIB = 1 << 30


def list_workers(*, settings: ClientSettings) -> int:
    async def work(client: Client) -> int:
        columns = ("worker", "state", "free/slots", "heartbeat", "FFmpeg", "load", "problems")
        flexible = {"FFmpeg", "problems", "labels"}
        table = Table(*columns, "labels", flexible=flexible, empty="no workers")
        async for worker in client.workers():
            if settings.json:
                print_json(worker)
                continue
            table.add(
                worker.name,
                _state(worker),
                f"{worker.free_slots}/{worker.slots}",
                _age(worker),
                worker.capabilities.ffmpeg_version,
                f"{worker.load.cpu_load:.1f}/{worker.capabilities.cpu_count}",
                "; ".join(_problems(worker)),
                ", ".join(written(worker.capabilities.labels)),
            )
        if not settings.json:
            table.print()
        return Exit.DONE

    return with_client(settings, work)


def get(name: str, settings: ClientSettings) -> int:
    async def work(client: Client) -> int:
        worker = await client.worker(name)
        if settings.json:
            print_json(worker)
        else:
            named = [each.job_id for each in worker.attempts]
            named += [each.job_id for each in worker.losses]
            _show(worker, await attempts_of(client, named))
        return Exit.DONE

    return with_client(settings, work)


def drain(name: str, settings: ClientSettings) -> int:
    async def work(client: Client) -> int:
        worker = await client.drain_worker(name)
        runs = show_count(len(worker.attempts), "attempt")
        return _tell(worker, f"worker {name} drains, {runs} to be finished", as_json=settings.json)

    return with_client(settings, work)


def resume(name: str, settings: ClientSettings) -> int:
    async def work(client: Client) -> int:
        worker = await client.resume_worker(name)
        return _tell(worker, f"worker {name} takes work again", as_json=settings.json)

    return with_client(settings, work)


def remove(name: str, settings: ClientSettings) -> int:
    async def work(client: Client) -> int:
        await client.remove_worker(name)
        if settings.json:
            print_object({"name": name, "removed": True})
        else:
            print(f"worker {name} is removed")
        return Exit.DONE

    return with_client(settings, work)


def release(name: str, settings: ClientSettings) -> int:
    async def work(client: Client) -> int:
        before = await client.worker(name)
        worker = await client.release_worker(name)
        done = "is released" if before.HasField("quarantine_end_time") else "is not quarantined"
        drains = ", and still drains" if worker.draining else ""
        return _tell(worker, f"worker {name} {done}{drains}", as_json=settings.json)

    return with_client(settings, work)


def _tell(worker: pb.Worker, sentence: str, *, as_json: bool) -> int:
    if as_json:
        print_json(worker)
    else:
        print(sentence)
    return Exit.DONE


def _problems(worker: pb.Worker) -> list[str]:
    problems = [f"root {root.name} {root.reason}" for root in worker.refused_roots]
    if worker.HasField("quarantine_end_time"):
        problems.append(f"no offers until {_time(worker.quarantine_end_time)} UTC")
    return problems


def _time(stamp: Timestamp) -> str:
    return stamp.ToDatetime().strftime("%H:%M:%S")


def _show(worker: pb.Worker, attempts: Mapping[str, Attempts]) -> None:
    can = worker.capabilities
    facts = (_state(worker), f"heartbeat {_age(worker)}" * bool(_age(worker)), worker.address)
    tell(f"worker {worker.name}: {', '.join(filter(None, facts))}")
    tell(f"  ffrtmp {can.version}, FFmpeg {can.ffmpeg_version}, stream {worker.epoch}")
    tell(f"  encodes {', '.join(can.codecs)} with {', '.join(can.encoders)}")
    if can.labels:
        tell(f"  labels {', '.join(written(can.labels))}")
    tell(f"  {worker.free_slots} of {worker.slots} slots free")
    free = worker.load.memory_free / GIB
    tell(f"  {worker.load.cpu_load:.1f} of {can.cpu_count} cores busy, {free:.1f} GiB memory free")
    for line in limit_lines(can):
        tell(f"  {line}")
    refused = {root.name: root.reason for root in worker.refused_roots}
    for root in can.roots:
        disk = worker.load.disk_free.get(root.name, 0) / GIB
        verdict = f"NO WORK: it {refused[root.name]}" if root.name in refused else "good"
        tell(f"  root {root.name}: {verdict}, {disk:.1f} GiB free")
    if worker.draining:
        tell("  drains: no new work until `ffrtmp workers resume`")
    if worker.HasField("quarantine_end_time"):
        tell(f"  quarantined: no offers until {_time(worker.quarantine_end_time)} UTC")
    if worker.HasField("certificate_end_time"):
        left = worker.certificate_end_time.ToDatetime(tzinfo=UTC) - utc_now()
        tell(f"  its certificate ends in {show_span(left)}")
    for loss in worker.losses:
        which = attempts[loss.job_id].name(loss.fence)
        tell(f"  lost {loss.job_id}, {which}, {_time(loss.lost_time)}: {loss.reason}")
    for attempt in worker.attempts:
        tell(f"  runs {attempt.job_id}, {attempts[attempt.job_id].name(attempt.fence)}")


def limit_lines(can: pb.WorkerCapabilities) -> list[str]:
    """What one FFmpeg may use there, and what holds it to that."""
    if not can.HasField("limits"):
        return []
    limits, lines = can.limits, []
    if limits.memory:
        memory, way = limits.memory / GIB, LIMIT_WAYS.shown(limits.memory_way)
        lines.append(f"one FFmpeg may have {memory:.2f} GiB of memory, by {way}")
    if limits.cores:
        way = LIMIT_WAYS.shown(limits.cpu_way)
        lines.append(f"one FFmpeg may use {limits.cores:g} processors, by {way}")
    return lines or ["one FFmpeg may use what it likes: there are no limits"]


def _state(worker: pb.Worker) -> str:
    return WORKER_STATES.shown(worker.state)


def _age(worker: pb.Worker) -> str:
    """Nothing of one that is gone: its last one is not kept."""
    if not worker.HasField("heartbeat_time"):
        return ""
    age = utc_now() - worker.heartbeat_time.ToDatetime(tzinfo=utc_now().tzinfo)
    return f"{max(0.0, age.total_seconds()):.0f} s ago"
