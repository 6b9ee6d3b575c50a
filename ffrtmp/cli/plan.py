"""`ffrtmp plan`: the command line that a worker would run for a job. Nothing is encoded."""

import asyncio
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ffrtmp.cli.ask import Wish
from ffrtmp.cli.errors import Exit, UserError
from ffrtmp.cli.follow import print_object
from ffrtmp.cli.platforms import require_cluster
from ffrtmp.cli.shown import show_size
from ffrtmp.cli.target import Target, announce, find_target
from ffrtmp.cli.transcode import private_roots
from ffrtmp.client import Client
from ffrtmp.config import ClientSettings, cache_dir, parse_roots
from ffrtmp.domain.spec import JobSpec, Output, Quality
from ffrtmp.ffmpeg.capabilities import choose_encoders
from ffrtmp.ffmpeg.command import build_argv
from ffrtmp.ffmpeg.media import MediaInfo
from ffrtmp.ffmpeg.plan import NothingToEncode, OutputPlan, Plan
from ffrtmp.ffmpeg.plan import plan as plan_outputs
from ffrtmp.ffmpeg.presets import expand
from ffrtmp.ffmpeg.verify import judge_source
from ffrtmp.storage.errors import StorageError
from ffrtmp.storage.roots import Roots
from ffrtmp.worker.hardware import Tools, find_ffmpeg, probe_tools
from ffrtmp.worker.probe import ProbeDied, ProbeRefused, probe


def plan(
    source: str, target: str, *, ffmpeg: str, worker: str, wish: Wish, settings: ClientSettings
) -> int:
    require_cluster()  # it probes, and asks FFmpeg, as a worker does
    if ffmpeg and worker:
        raise UserError("give --ffmpeg or --worker, not both: a worker has its own FFmpeg")
    found = find_target(settings)
    if worker and found is None:
        raise UserError("--worker needs its master: give --master and --certs, or start ffrtmp up")
    if found is not None and worker:
        announce(found)
    roots = found.roots if found is not None else _roots_here(source, target, settings)
    spec = expand(wish.spec(source, target, roots))
    planned = asyncio.run(_plan(spec, roots, _Ask(ffmpeg, worker, found)))
    _say(planned, as_json=settings.json)
    return Exit.DONE


def _roots_here(source: str, target: str, settings: ClientSettings) -> Mapping[str, Path]:
    return parse_roots(settings.root) or private_roots(source, target)


@dataclass(frozen=True, slots=True)
class _Ask:
    """Whose encoders are to be used."""

    ffmpeg: str
    worker: str
    target: Target | None


@dataclass(frozen=True, slots=True)
class _Planned:
    argv: list[str]
    plan: Plan
    notes: list[str]

    spec: JobSpec

    @property
    def described(self) -> list[dict[str, object]]:
        return [
            _described(output) | ({"quality": _bar(asked.quality)} if asked.quality else {})
            for output, asked in zip(self.plan.outputs, self.spec.outputs, strict=True)
        ]


def _say(planned: _Planned, *, as_json: bool) -> None:
    """The command alone on standard output, so that it can be run."""
    if as_json:
        print_object({"argv": planned.argv, "outputs": planned.described})
        return
    for line in planned.notes:
        print(line, file=sys.stderr)
    print(shlex.join(planned.argv))


async def _plan(spec: JobSpec, folders: Mapping[str, Path], ask: _Ask) -> _Planned:
    """Raises UserError."""
    path, targets = _resolved(spec, folders)
    media = await _probed(path, spec) if path is not None else None
    tools = await _tools(ask)
    try:
        planned = plan_outputs(spec, media, tools.encoders)
    except NothingToEncode as error:
        raise UserError(str(error)) from None
    except KeyError as error:
        raise UserError(
            f"{ask.worker or tools.ffmpeg} has no encoder for {error.args[0]}"
        ) from None
    source = str(path) if path else None
    argv = build_argv(
        planned,
        ffmpeg=tools.ffmpeg,
        version=tools.version,
        source=source,
        targets=[str(each) for each in targets],
    )
    notes = [*_source_notes(media, spec), *_output_notes(planned, spec)]
    return _Planned(argv, planned, notes, spec)


def _resolved(spec: JobSpec, folders: Mapping[str, Path]) -> tuple[Path | None, list[str]]:
    """Real paths, as a worker finds them; an output whose root is not known here keeps its name."""
    roots, source = Roots(folders), spec.input.path
    if source is not None and source.root not in folders:
        raise UserError(
            f"root {source.root} is not known here, so {source} cannot be probed: "
            f"give --root {source.root}=DIR"
        )
    try:
        return (
            roots.resolve(source, for_writing=False) if source is not None else None,
            [_place(output, roots, folders) for output in spec.outputs],
        )
    except StorageError as error:
        raise UserError(str(error).replace("on this worker", "on this machine")) from None


def _place(output: Output, roots: Roots, folders: Mapping[str, Path]) -> str:
    """A URL is shown without its key."""
    if output.path is None or output.path.root not in folders:
        return output.name
    return str(roots.resolve(output.path, for_writing=True))


async def _probed(path: Path, spec: JobSpec) -> MediaInfo:
    look_into(path, str(spec.input.path))
    try:
        [media] = await probe([path], [f"input {spec.input.path}"])
    except (ProbeRefused, ProbeDied) as error:
        raise UserError(str(error)) from None
    if problem := judge_source(media):
        raise UserError(f"input {spec.input.path} is not whole: {problem}")
    return media


def look_into(path: Path, name: str) -> None:
    """Raises UserError where this user may not: FFmpeg would call it no media."""
    try:
        path.open("rb").close()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UserError(f"input {name} cannot be read ({why}); let this user read it") from None


async def _tools(ask: _Ask) -> Tools:
    """What is here; or what the worker has, under the name that FFmpeg has here."""
    if not ask.worker or ask.target is None:
        return await probe_tools(ask.ffmpeg, cache_dir())
    async with Client(ask.target.address, ask.target.certs) as client:
        worker = await client.worker(ask.worker)
    return Tools(
        ffmpeg=await asyncio.to_thread(find_ffmpeg, ""),
        version=worker.capabilities.ffmpeg_version,
        encoders=choose_encoders(worker.capabilities.encoders),
    )


def _source_notes(media: MediaInfo | None, spec: JobSpec) -> list[str]:
    if media is None:
        return ["source  generated"]
    streams = ", ".join(
        f"{stream.codec} {stream.width}x{stream.height}" if stream is media.video else stream.codec
        for stream in (media.video, media.audio)
        if stream is not None
    )
    size = show_size(media.size)
    return [f"source  {spec.input.path}: {size}, {media.duration:.2f} s, {streams}"]


def _output_notes(planned: Plan, spec: JobSpec) -> list[str]:
    notes = []
    for output, target in zip(planned.outputs, spec.targets, strict=True):
        parts = [
            " ".join(str(track[key]) for key in ("encoder", "size") if key in track)
            for track in _described(output).values()
            if isinstance(track, dict)
        ]
        count = f", {output.video.frames} frames" if output.video is not None else ""
        notes.append(f"output  {target}: {', '.join(parts)}{count}")
    asked = ((each.name, each.quality) for each in spec.outputs if each.quality is not None)
    return [*notes, *(f"quality {name}: {_bar(quality)}" for name, quality in asked)]


def _bar(quality: Quality) -> str:
    bar = "measured" if quality.least is None else f"at least {quality.least:g}"
    sample = quality.sample.total_seconds()
    return f"{quality.metric.upper()} {bar}, on up to {sample:g} s of the picture"


def _described(output: OutputPlan) -> dict[str, object]:
    found: dict[str, object] = {"container": output.container.value}
    if (video := output.video) is not None:
        found["video"] = {
            "encoder": video.encoder or "copy",
            "size": f"{video.width}x{video.height}",
            "pixel_format": video.pixel_format,
            "frames": video.frames,
        }
    if (audio := output.audio) is not None:
        found["audio"] = {"encoder": audio.encoder or "copy"}
    return found
