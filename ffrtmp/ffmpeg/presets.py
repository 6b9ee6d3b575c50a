"""Scenario names such as `1080p30-h264`, and every default, made explicit.

What is stored is expanded: a later change of a preset changes no queued job.
"""

import re
from dataclasses import replace
from difflib import get_close_matches
from itertools import product

from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.spec import (
    MAX_CRF,
    AudioCodec,
    AudioSettings,
    Container,
    FrameRate,
    JobSpec,
    Output,
    Speed,
    VideoCodec,
    VideoSettings,
    validate,
)

BOXES = {
    "2160p": (3840, 2160),
    "4K": (3840, 2160),
    "1440p": (2560, 1440),
    "1080p": (1920, 1080),
    "720p": (1280, 720),
    "480p": (854, 480),
    "360p": (640, 360),
}
RATES = ("", "24", "25", "30", "50", "60")
ENCODED = ("h264", "h265", "av1", "vp9", "vp8")
_SCENARIO = re.compile(rf"({'|'.join(BOXES)})({'|'.join(RATES[1:])})?-({'|'.join(ENCODED)})")

DEFAULT_CRF = {
    VideoCodec.H264: 20,
    VideoCodec.H265: 23,
    VideoCodec.AV1: 28,
    VideoCodec.VP9: 31,
    VideoCodec.VP8: 10,
}
"""Near-transparent for ordinary material; VP8's scale is its encoder's own."""

DEFAULT_AUDIO_BITRATE = {AudioCodec.AAC: 160_000, AudioCodec.OPUS: 128_000}

ENDINGS = {
    **{f".{container.value}": container for container in Container},
    ".m4v": Container.MP4,
    ".m2ts": Container.TS,
    ".mts": Container.TS,
}


def scenario_names() -> list[str]:
    return [f"{box}{rate}-{codec}" for box, rate, codec in product(BOXES, RATES, ENCODED)]


def expand(spec: JobSpec) -> JobSpec:
    """Every preset and default made explicit; validated before and after.

    Raises InvalidSpec.
    """
    validate(spec)
    outputs = tuple(
        _expand_output(output, f"outputs[{number}]") for number, output in enumerate(spec.outputs)
    )
    expanded = replace(spec, outputs=outputs)
    validate(expanded)
    return expanded


def _expand_output(output: Output, name: str) -> Output:
    container = output.container or container_of(output.path.path, f"{name}.path")
    preset = preset_settings(output.preset, f"{name}.preset") if output.preset else VideoSettings()
    return replace(
        output,
        container=container,
        preset="",
        video=_expand_video(output.video or VideoSettings(), preset, container),
        audio=_expand_audio(output.audio or AudioSettings(), container),
    )


def container_of(path: str, name: str) -> Container:
    """What the path's ending says. Raises InvalidSpec."""
    for ending, container in ENDINGS.items():
        if path.lower().endswith(ending):
            return container
    raise InvalidSpec(name, path, f"end it in {', '.join(ENDINGS)}, or set the container")


def preset_settings(preset: str, name: str) -> VideoSettings:
    """Raises InvalidSpec with the nearest scenario."""
    match = _SCENARIO.fullmatch(preset)
    if match is None:
        near = get_close_matches(preset, scenario_names(), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InvalidSpec(
            name, preset, f"{hint}write SIZE[RATE]-CODEC, for example 1080p30-h264 or 4K-av1"
        )
    width, height = BOXES[match[1]]
    return VideoSettings(
        codec=VideoCodec(match[3]),
        width=width,
        height=height,
        frame_rate=FrameRate(int(match[2])) if match[2] else None,
    )


def _expand_video(
    asked: VideoSettings, preset: VideoSettings, container: Container
) -> VideoSettings:
    default = VideoCodec.VP9 if container is Container.WEBM else VideoCodec.H264
    codec = asked.codec or preset.codec or default
    if codec not in MAX_CRF:
        return replace(asked, codec=codec)
    sized = asked.width is not None or asked.height is not None
    has_quality = asked.crf is not None or asked.bitrate is not None
    return replace(
        asked,
        codec=codec,
        width=asked.width if sized else preset.width,
        height=asked.height if sized else preset.height,
        frame_rate=asked.frame_rate or preset.frame_rate,
        crf=asked.crf if has_quality else DEFAULT_CRF[codec],
        speed=asked.speed or Speed.MEDIUM,
    )


def _expand_audio(asked: AudioSettings, container: Container) -> AudioSettings:
    default = AudioCodec.OPUS if container is Container.WEBM else AudioCodec.AAC
    codec = asked.codec or default
    return replace(asked, codec=codec, bitrate=asked.bitrate or DEFAULT_AUDIO_BITRATE.get(codec))
