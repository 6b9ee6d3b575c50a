"""`ffrtmp presets`: what each scenario name stands for."""

import sys

from google.protobuf.json_format import MessageToDict

from ffrtmp.cli.errors import Exit, UserError
from ffrtmp.cli.follow import print_object
from ffrtmp.cli.table import Table
from ffrtmp.domain.spec import CARRIES, Container, Input, JobSpec, MediaPath, Output, TestSource
from ffrtmp.domain.spec import VideoSettings as Video
from ffrtmp.ffmpeg.presets import RATES, expand, scenario_names
from ffrtmp.rpc.convert_spec import spec_to_pb

_ANYWHERE = MediaPath("any", "where.mkv")  # Matroska holds every codec


def presets(name: str, *, json: bool) -> int:
    found = [each for each in scenario_names() if _wanted(each, name)]
    if not found:
        raise UserError(f"no preset begins with {name!r}: they are SIZE[RATE]-CODEC")
    columns = ("preset", "box", "frames/s", "codec", "CRF", "speed", "containers")
    table = Table(*columns, spare=("speed", "codec", "box"))
    for each in found:
        spec = _spec(each)
        video = spec.outputs[0].video
        assert video is not None
        if json:
            message = spec_to_pb(spec).outputs[0].video
            settings = MessageToDict(message, preserving_proto_field_name=True)
            containers = _containers(video)
            print_object({"preset": each, "video": settings, "containers": containers})
        else:
            table.add(each, *_row(video))
    if not json:
        table.print()
        rates = ", ".join(RATES[1:])
        if not name:
            print(f"A frame rate ({rates}) goes after the size: 1080p30-h264.", file=sys.stderr)
    return Exit.DONE


def _wanted(preset: str, name: str) -> bool:
    if name:
        return preset.lower().startswith(name.lower())
    return not any(f"{rate}-" in preset for rate in RATES[1:])


def _spec(preset: str) -> JobSpec:
    output = Output(path=_ANYWHERE, preset=preset)
    return expand(JobSpec(input=Input(test_source=TestSource()), outputs=(output,)))


def _row(video: Video) -> tuple[str, ...]:
    rate = str(video.frame_rate) if video.frame_rate else "source's"
    box = f"{video.width}x{video.height}"
    return (box, rate, str(video.codec), str(video.crf), str(video.speed), *_listed(video))


def _listed(video: Video) -> tuple[str]:
    return (" ".join(_containers(video)),)


def _containers(video: Video) -> list[str]:
    return [container.value for container in Container if video.codec in CARRIES[container][0]]
