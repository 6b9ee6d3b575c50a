"""Every example in the protos is a request that a master serves: sent as it stands, by buf curl.

What no example can know is put in: the id of a job there is. Each gets a job of its own.
"""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor

from ffrtmp.domain.messages import Goodbye, Hello, Welcome
from ffrtmp.domain.roots import RootReport
from ffrtmp.domain.worker import Capabilities
from ffrtmp.v1 import admin_service_pb2, job_service_pb2
from ffrtmp.v1.admin_service_pb2_grpc import AdminServiceStub
from ffrtmp.v1.job_service_pb2_grpc import JobServiceStub

BUF = Path(sys.executable).with_name("buf")
PROTOS = Path(__file__).parents[3] / "protos" / "ffrtmp" / "v1"
SERVICES = (
    job_service_pb2.DESCRIPTOR.services_by_name["JobService"],
    admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
)
METHODS = [method for service in SERVICES for method in service.methods]
A_JOB = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
AT_ONCE = 4
GONE = admin_service_pb2.WORKER_STATE_GONE
REMOVE = "ffrtmp.v1.AdminService.RemoveWorker"
"""Only of a worker that is gone; the others need it alive."""
CAPABLE = Capabilities(
    spec_version=1,
    ffmpeg_version="9",
    codecs=frozenset({"vp9"}),
    roots=(RootReport(name="media", nonce="n", sees=frozenset({"n"})),),
    labels={"zone": "eu"},
)


def example_of(method: MethodDescriptor) -> str:
    """What stands behind `Example: ` at the end of its comment, made one line. Empty: nothing."""
    file = PROTOS / Path(method.containing_service.file.name).name
    [comment] = re.findall(
        rf"((?:^  //[^\n]*\n)+)  rpc {method.name}\(", file.read_text(), re.MULTILINE
    )
    text = " ".join(line.strip().removeprefix("//").strip() for line in comment.splitlines())
    return text.partition("Example: ")[2].strip()


EXAMPLES = {method.full_name: example_of(method) for method in METHODS}

CHECKS: dict[str, Callable[[list[dict[str, Any]]], bool]] = {
    "SubmitJob": lambda got: got[0]["job"]["state"] == "JOB_STATE_QUEUED",
    "SubmitJobs": lambda got: got[0]["jobs"][1]["spec"]["labels"] == {"zone": "eu"},
    "GetJob": lambda got: got[0]["events"][0]["number"] == "1",
    "ListJobs": lambda got: all(
        job["state"] == "JOB_STATE_RUNNING" for job in got[0].get("jobs", [])
    ),
    "WatchJob": lambda got: got[-1]["job"]["state"] == "JOB_STATE_CANCELLED",
    "CancelJob": lambda got: got[0]["job"]["state"] == "JOB_STATE_CANCELLED",
    "ListWorkers": lambda got: [each["name"] for each in got[0]["workers"]][:1] == ["w1"],
    "GetWorker": lambda got: got[0]["worker"]["capabilities"]["labels"] == {"zone": "eu"},
    "DrainWorker": lambda got: got[0]["worker"]["draining"],
    "ResumeWorker": lambda got: "draining" not in got[0]["worker"],
    "ReleaseWorker": lambda got: got[0]["worker"]["name"] == "w1",
    "GetOverview": lambda got: got[0]["masters"][0]["answering"],
    "RemoveWorker": lambda got: got == [{}],
    "PauseJob": lambda got: got[0]["job"]["state"] == "JOB_STATE_PAUSED",
    "ReprioritiseJob": lambda got: got[0]["job"]["priority"] != "PRIORITY_NORMAL",
    "ReadJobLog": lambda got: got == [],  # nothing has run
    "ListQueues": lambda got: got[0]["backlogs"][0]["queue"] == "QUEUE_DEFAULT",
    "GetSla": lambda got: len(got[0]["targets"]) == 3,
    "GetStore": lambda got: got[0]["kind"] == "sqlite" and got[0]["ready"],
    "ListSettings": lambda got: got[0]["settings"][0]["name"] == "certs",
}
"""What the answers, one for a call and more for a stream, are to say. Others: that they came."""
ORDERS = {"DrainWorker", "ResumeWorker", "ReleaseWorker"}
"""To one worker: each answer shows what the last of them left."""


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_call_has_an_example_that_is_json(name):
    assert EXAMPLES[name], f"{name} has no line `Example: {{...}}` in its comment"
    assert isinstance(json.loads(EXAMPLES[name]), dict)


async def buf_curl(master, name: str, body: str) -> list[dict[str, Any]]:
    """The answers."""
    service, _, method = name.rpartition(".")
    identity = "client-c" if service.endswith("JobService") else "admin-a"
    folder = master.certs / identity
    process = await asyncio.create_subprocess_exec(
        *(BUF, "curl", "--protocol", "grpc", "--cacert", folder / "ca.pem"),
        *("--cert", folder / "tls.pem", "--key", folder / "tls.key", "--data", body),
        f"https://{master.address}/{service}/{method}",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:  # another example has failed
            process.kill()
            await process.communicate()
    assert process.returncode == 0, f"{name} {body}: {err.decode()}"
    return answers(out.decode())


def answers(text: str) -> list[dict[str, Any]]:
    decoder, found = json.JSONDecoder(), []
    while text := text.strip():
        answer, end = decoder.raw_decode(text)
        found.append(answer)
        text = text[end:]
    return found


async def come_and_go(master, stream) -> None:
    """The worker w2 was here, and is gone."""
    async with master.dial("worker-w2") as wire, master.dial("admin-a") as admin:
        worker = stream(wire)
        await worker.say(Hello(incarnation="i2", capabilities=CAPABLE, slots=1))
        await worker.hear(Welcome)
        await worker.say(Goodbye())
        shown, asked = AdminServiceStub(admin), admin_service_pb2.GetWorkerRequest(name="w2")
        async with asyncio.timeout(10):
            while (await shown.GetWorker(asked)).worker.state != GONE:
                await asyncio.sleep(0.01)


async def test_buf_curl_gets_an_answer_to_every_example(run, stream, request_for):
    async with run() as master, master.dial("client-c") as client, master.dial("worker-w1") as wire:
        jobs, worker, room = JobServiceStub(client), stream(wire), asyncio.Semaphore(AT_ONCE)
        orders = asyncio.Lock()
        await worker.say(Hello(incarnation="i1", capabilities=CAPABLE))  # no slots: jobs wait
        await worker.hear(Welcome)
        await come_and_go(master, stream)

        async def try_out(name: str, example: str) -> None:
            """One that follows a job sees its end."""
            request = request_for(f"{name}.mp4", name)
            request.spec.outputs[0].path = f"media:{name}.mp4"
            job_id = (await jobs.SubmitJob(request)).job.job_id
            method = next(each for each in METHODS if each.full_name == name)
            if method.server_streaming:
                await jobs.CancelJob(job_service_pb2.CancelJobRequest(job_id=job_id))
            alone = orders if method.name in ORDERS else nullcontext()
            async with room, alone:
                got = await buf_curl(master, name, A_JOB.sub(job_id, example))
            check = CHECKS.get(method.name, bool)
            assert check(got), (name, got)

        async with asyncio.TaskGroup() as tasks:
            for name in EXAMPLES.keys() - {REMOVE}:
                tasks.create_task(try_out(name, EXAMPLES[name]))
        await worker.say(Goodbye())
        async for _ in worker.call:
            pass  # until the master has hung up: the worker is gone
        await try_out(REMOVE, EXAMPLES[REMOVE])
