"""What operators type: overview, workers release, config running; and what each of them prints."""

import asyncio
import json

from ffrtmp.cli.app import run as ffrtmp
from ffrtmp.v1.job_service_pb2_grpc import JobServiceStub


async def said(capsys, master, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    target = ("--master", master.address, "--certs", str(master.certs / "admin-a"))
    capsys.readouterr()
    code = await asyncio.to_thread(ffrtmp, [*arguments, *target])
    return code, *capsys.readouterr()


async def printed(capsys, master, *arguments: str) -> str:
    code, out, err = await said(capsys, master, *arguments)
    assert code == 0, err
    return out


async def test_the_overview_is_a_few_lines_and_a_table(run, stream, request_for, capsys):
    async with run() as master, master.dial("client-c") as client, master.dial("worker-w1") as wire:
        for number in range(2):
            await JobServiceStub(client).SubmitJob(request_for(f"{number}.mp4", str(number)))
        empty = await printed(capsys, master, "overview")
        assert "workers  none" in empty
        assert "default\t2\t0\t0\t0\t" in empty
        assert "\tNONE\t" in empty  # nobody could do them
        await stream(wire).hello(slots=0)
        lines = (await printed(capsys, master, "overview")).splitlines()
        heads = [line.partition(" ")[0] for line in lines[:7]]
        assert heads[:6] == ["master", "workers", "slots", "jobs", "waits", "store"]
        assert f"m at {master.address}" in lines[0]
        assert lines[1].split() == ["workers", "1", "draining"]
        assert lines[3].split() == ["jobs", "2", "queued"]
        assert master.store in lines[5]
        told = json.loads(await printed(capsys, master, "overview", "--json"))
        assert told["jobs"] == [{"state": "JOB_STATE_QUEUED", "jobs": "2"}]
        assert told["backlogs"][0]["able_workers"] == 1
        assert told["store"]["kind"] == "sqlite"


async def test_a_worker_is_released_by_name(run, stream, capsys):
    async with run() as master, master.dial("worker-w1") as wire:
        await stream(wire).hello()
        told = await printed(capsys, master, "workers", "release", "w1")
        assert told == "worker w1 is not quarantined\n"
        await printed(capsys, master, "workers", "drain", "w1")
        told = await printed(capsys, master, "workers", "release", "w1")
        assert told == "worker w1 is not quarantined, and still drains\n"
        assert "its certificate ends in 364 d" in await printed(
            capsys, master, "workers", "get", "w1"
        )


async def test_a_running_master_tells_its_settings(run, capsys):
    async with run() as master:
        rows = [
            line.split("\t")
            for line in (await printed(capsys, master, "config", "running")).splitlines()
        ]
        assert rows[0] == ["section", "option", "value", "from"]
        assert ["master", "heartbeat-interval", "5s", "default"] in rows
        lines = (await printed(capsys, master, "config", "running", "--json")).splitlines()
        assert json.loads(lines[0])["origin"] == "default"
