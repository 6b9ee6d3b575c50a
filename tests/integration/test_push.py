"""Live pushes with the real FFmpeg to real receivers, and to servers that misbehave."""

import asyncio
import signal
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from ffrtmp.clock import boot_seconds
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import Phase
from ffrtmp.domain.spec import (
    AudioCodec,
    AudioSettings,
    Input,
    JobSpec,
    Output,
    TestSource,
    VideoCodec,
    VideoSettings,
)
from ffrtmp.ffmpeg.presets import expand
from ffrtmp.worker.hardware import probe_tools
from ffrtmp.worker.process import ON_LIVE_END, Deadline
from ffrtmp.worker.push import STALL_SECONDS, START_SECONDS
from ffrtmp.worker.runner import AttemptFailed, Runner
from tests.integration.test_runner import KEY, Site, media, running, tools
from tests.ports import free_port
from tests.receivers import PACKETS, certificate, gate, srt_receiver, tcp_server

SECRET = "s3cret-Key_42"
SECONDS = 3


def pushing() -> list[psutil.Process]:
    """Our FFmpegs; the receivers' are children of this process too."""
    lines = ((each, Path(f"/proc/{each.pid}/cmdline")) for each in running())
    return [each for each, line in lines if b"-progress" in line.read_bytes()]


def told(figure: str) -> None:
    """For people, with `pytest -s`; no test depends on how fast this machine is."""
    sys.stdout.write(f"{figure}\n")


def push(url: str, source: Input | None = None, seconds: int = SECONDS, **settings: object):
    generated = TestSource(width=320, height=240, duration=timedelta(seconds=seconds))
    spec = JobSpec(
        input=source or Input(test_source=generated),
        outputs=(Output(url=url, video=VideoSettings(bitrate=600_000)),),
    )
    return replace(expand(spec), **settings)


def lease(seconds: float = 600) -> Deadline:
    return Deadline(boot_seconds() + seconds)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "root")


async def run(site: Site, spec: JobSpec, deadline: Deadline | None = None) -> None:
    async with asyncio.timeout(90):
        await site.runner.push(KEY, spec, site.report, deadline or lease(), site.lines.append)
    assert SECRET not in repr(site.lines)


async def fails(site: Site, spec: JobSpec, reason: Reason, says: str) -> float:
    """Without a secret in what is said, and with FFmpeg gone. Returns after how long."""
    began = time.monotonic()
    with pytest.raises(AttemptFailed, match=says) as caught:
        await run(site, spec)
    failure = caught.value.failure
    assert failure.reason is reason
    assert SECRET not in repr(failure)
    assert pushing() == []
    return time.monotonic() - began


@asynccontextmanager
async def on_air(site: Site, spec: JobSpec, deadline: Deadline | None = None):
    """While media flows; the body must end it."""
    async with asyncio.timeout(90), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_kept(run(site, spec, deadline)))
        while not any(r.phase is Phase.ENCODE and r.position for r in site.reports):
            assert not task.done(), task.result()
            await asyncio.sleep(0.02)
        yield task


async def _kept(work) -> AttemptFailed | None:
    try:
        await work
    except AttemptFailed as error:
        return error
    return None


async def received(frames, least: int) -> None:
    async with asyncio.timeout(10):
        while not (counts := frames()) or counts[-1] < least:
            await asyncio.sleep(0.05)


# -- good servers ---------------------------------------------------------------------------


async def test_rtmp_gets_every_frame_at_the_sources_own_rate(site: Site, tmp_path: Path) -> None:
    with gate(tmp_path, f"live/{SECRET}") as server:
        began = time.monotonic()
        await run(site, push(server.url))
        assert time.monotonic() - began > SECONDS - 1  # -re lets half a second go ahead
        await received(lambda: server.frames, SECONDS * 30)
        assert server.frames == [SECONDS * 30]
    last = site.reports[-1]
    assert last.total == timedelta(seconds=SECONDS)
    assert last.position >= timedelta(seconds=SECONDS - 0.2)
    assert site.names() == []  # nothing is staged
    assert any("/live/***'" in line for line in site.lines)


async def test_a_file_is_pushed_and_its_streams_may_be_copied(site: Site, tmp_path: Path) -> None:
    site.clip("in.mp4", "-pix_fmt", "yuv420p")
    spec = push("rtmp://127.0.0.1/live/k", Input(path=media("in.mp4")))
    copied = Output(
        url="",
        video=VideoSettings(codec=VideoCodec.COPY),
        audio=AudioSettings(codec=AudioCodec.COPY),
    )
    with gate(tmp_path) as server:
        output = replace(copied, url=server.url)
        await run(site, expand(replace(spec, outputs=(output,))))
        await received(lambda: server.frames, 50)
        assert "Video: h264" in server.log
        assert "Audio: aac" in server.log


async def test_what_rtmp_does_not_carry_is_not_copied(site: Site) -> None:
    site.clip("in.mkv", "-c:v", "mpeg4")
    output = Output(
        url=f"rtmp://127.0.0.1/live/{SECRET}", video=VideoSettings(codec=VideoCodec.COPY)
    )
    spec = expand(JobSpec(input=Input(path=media("in.mkv")), outputs=(output,)))
    await fails(
        site, spec, Reason.INPUT_BAD, r"is mpeg4: rtmp://127\.0\.0\.1/live/\*\*\* takes only"
    )


async def test_srt_is_pushed_with_its_passphrase(site: Site, tmp_path: Path) -> None:
    with srt_receiver(tmp_path, "&passphrase=0123456789ab") as (port, process):
        await run(site, push(f"srt://127.0.0.1:{port}?passphrase=0123456789ab&streamid={SECRET}"))
        assert process.wait(10) == 0
    log = (tmp_path / "srt.log").read_text()
    assert "Video: h264" in log
    assert PACKETS.findall(log)[-1] == str(SECONDS * 30)  # to the last one


async def test_rtmps_is_pushed_to_a_server_that_is_believed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, trusted = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with gate(tmp_path, f"live/{SECRET}", tls) as server:
        await run(site, push(server.url))
        await received(lambda: server.frames, SECONDS * 30)


# -- bad servers ----------------------------------------------------------------------------


async def test_a_server_that_refuses_is_noticed_at_once(site: Site) -> None:
    spec = push(f"rtmp://127.0.0.1:{free_port()}/live/{SECRET}?token={SECRET}x")
    took = await fails(site, spec, Reason.FFMPEG_FAILED, "Connection refused")
    told(f"refused: {took:.1f} s")


async def test_what_ffmpeg_says_names_the_input_as_people_do(site: Site) -> None:
    site.clip("in.mp4", "-pix_fmt", "yuv420p")
    spec = push(f"rtmp://127.0.0.1:{free_port()}/live/k", Input(path=media("in.mp4")))
    with pytest.raises(AttemptFailed):
        await run(site, spec)
    [line] = [line for line in site.lines if "Input #0" in line]
    assert line.endswith("from 'media:in.mp4':")


async def test_an_rtmps_server_that_nobody_vouches_for_gets_no_key(
    site: Site, tmp_path: Path
) -> None:
    tls, _ = certificate(tmp_path)
    with gate(tmp_path, f"live/{SECRET}", tls) as server:
        await fails(site, push(server.url), Reason.FFMPEG_FAILED, "certificate verify failed")
        assert server.publishers == []
        assert server.distrusted


async def test_a_silent_server_is_noticed(site: Site) -> None:
    with tcp_server(lambda _: None) as port:
        spec = push(f"rtmp://127.0.0.1:{port}/live/{SECRET}")
        took = await fails(site, spec, Reason.FFMPEG_FAILED, "Cannot read RTMP handshake response")
    told(f"silent: {took:.1f} s, bound 5 s")
    assert took < START_SECONDS


async def test_a_server_of_another_kind_is_noticed(site: Site) -> None:
    with tcp_server(lambda connection: connection.sendall(b"HTTP/1.0 400 Bad\r\n" * 999)) as port:
        spec = push(f"rtmp://127.0.0.1:{port}/live/{SECRET}")
        await fails(site, spec, Reason.FFMPEG_FAILED, r"FFmpeg failed|Error opening output")


async def test_a_push_that_never_begins_is_a_stall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "ffmpeg-that-waits"
    script.write_text("#!/bin/sh\nexec sleep 100\n")
    script.chmod(0o755)
    monkeypatch.setattr("ffrtmp.worker.push.START_SECONDS", 0.3)
    site = Site(tmp_path / "root", str(script))
    says = r"nothing was sent in the first 0\.3 s: rtmp://h/live/\*\*\* takes no more"
    await fails(site, push(f"rtmp://h/live/{SECRET}"), Reason.STALLED, says)


async def test_a_server_that_closes_at_once_is_noticed(site: Site) -> None:
    with tcp_server(lambda connection: connection.close()) as port:
        spec = push(f"rtmp://127.0.0.1:{port}/live/{SECRET}")
        await fails(site, spec, Reason.FFMPEG_FAILED, "handshake|End of file|reset")


async def test_a_server_that_hangs_up_is_noticed(site: Site, tmp_path: Path) -> None:
    with gate(tmp_path, f"live/{SECRET}") as server:
        async with on_air(site, push(server.url, seconds=60)) as task:
            began = time.monotonic()
            server.hang_up()
        failure = task.result().failure
    told(f"hung up: {time.monotonic() - began:.1f} s")
    assert failure.reason is Reason.FFMPEG_FAILED
    assert SECRET not in repr(failure)


async def test_a_server_that_stops_reading_is_a_stall(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert STALL_SECONDS == 10  # as the docs have it; the way there is the same
    monkeypatch.setattr("ffrtmp.worker.push.STALL_SECONDS", 3.0)
    with gate(tmp_path, f"live/{SECRET}") as server:
        async with on_air(site, push(server.url, seconds=300)) as task:
            began = time.monotonic()
            server.stop_reading()
        took = time.monotonic() - began
        failure = task.result().failure
    told(f"stopped reading: {took:.1f} s, of which 3 s it stood still")
    assert failure.reason is Reason.STALLED
    assert "no media progress for 3 s" in failure.message
    assert SECRET not in repr(failure)
    assert pushing() == []


async def test_an_srt_server_that_is_not_there_is_noticed(site: Site) -> None:
    spec = push(f"srt://127.0.0.1:{free_port()}?streamid={SECRET}")
    took = await fails(site, spec, Reason.FFMPEG_FAILED, "Input/output error")
    told(f"srt, nobody there: {took:.1f} s")
    assert took < START_SECONDS


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
async def test_an_srt_server_that_dies_is_noticed(
    site: Site, tmp_path: Path, number: signal.Signals
) -> None:
    with srt_receiver(tmp_path) as (port, process):
        async with on_air(site, push(f"srt://127.0.0.1:{port}", seconds=60)) as task:
            began = time.monotonic()
            process.send_signal(number)
        failure = task.result().failure
    told(f"srt, {number.name}: {time.monotonic() - began:.1f} s")
    assert failure.reason is Reason.FFMPEG_FAILED


# -- our own ends ---------------------------------------------------------------------------


async def test_a_cancelled_push_takes_its_leave(site: Site, tmp_path: Path) -> None:
    with gate(tmp_path) as server:
        async with on_air(site, push(server.url, seconds=60)) as task:
            task.cancel()
        assert task.cancelled()
        assert pushing() == []
        async with asyncio.timeout(ON_LIVE_END.grace):
            while server.on_air():
                await asyncio.sleep(0.02)


async def test_on_the_end_of_the_lease_the_guard_ends_the_push(site: Site, tmp_path: Path) -> None:
    with gate(tmp_path) as server:
        deadline = lease(60)
        async with on_air(site, push(server.url, seconds=60), deadline) as task:
            deadline.move(boot_seconds() + 0.5)
        failure = task.result().failure
    assert failure.reason is Reason.STOPPED
    assert "the lease ran out" in failure.message


async def test_a_renewed_lease_lets_the_push_go_on(site: Site, tmp_path: Path) -> None:
    with gate(tmp_path) as server:
        deadline = lease(1.5)
        async with on_air(site, push(server.url, seconds=4), deadline) as task:
            while not task.done():
                deadline.move(boot_seconds() + 1.5)
                await asyncio.sleep(0.1)
        assert task.result() is None


async def test_a_push_that_a_stranger_kills_is_not_our_own_end(site: Site, tmp_path: Path) -> None:
    with gate(tmp_path) as server:
        async with on_air(site, push(server.url, seconds=60)) as task:
            [ffmpeg] = pushing()
            psutil.Process(ffmpeg.pid).kill()
        assert task.result().failure.reason is Reason.RESOURCE_MEMORY


async def test_the_jobs_time_out_ends_a_push(site: Site, tmp_path: Path) -> None:
    with gate(tmp_path) as server:
        spec = push(server.url, seconds=60, timeout=timedelta(seconds=2))
        await fails(site, spec, Reason.TIMED_OUT, "time-out of 0:00:02 is over")


def test_an_ffmpeg_without_the_protocol_is_an_objection(site: Site) -> None:
    poor = Runner(roots=site.roots, tools=replace(tools(), protocols=frozenset({"rtmp"})))
    assert poor.objection(push("rtmp://h/app/key")) == ""
    assert poor.objection(push("srt://h:1")) == "the FFmpeg of this worker was built without srt"


async def test_the_wheels_ffmpeg_speaks_every_protocol(tmp_path: Path) -> None:
    assert (await probe_tools("", tmp_path)).protocols == {"rtmp", "rtmps", "srt"}
