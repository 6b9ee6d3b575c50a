"""How near an output's picture is to its source's: which frames, the command line, the answer.

Both files are decoded from their first frame, and frames are told apart by their number: nothing
is sought, so that frame N is held against frame N whatever the containers make of times. The source
goes through the very filters of the encode. A picture that is off by a frame scores badly without
being bad: so small grey copies are also compared one frame earlier and later.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ffrtmp.domain.figures import QualityScore
from ffrtmp.domain.spec import BEST_SCORE, Metric, Quality
from ffrtmp.ffmpeg.capabilities import FILTERS
from ffrtmp.ffmpeg.command import always, filters_of, source_argv
from ffrtmp.ffmpeg.formats import reader
from ffrtmp.ffmpeg.media import MediaInfo
from ffrtmp.ffmpeg.plan import Plan, VideoPlan

PIECE_SECONDS = 2.0
TICK = "settb=1/1000,setpts=N*40"
"""By number: the times of two containers differ by a rounding."""
TICK_SECONDS = 0.04
SMALL = "scale=192:108:flags=bilinear,setsar=1,format=gray"
MARGIN_DB = 1.5
"""So much nearer at another frame is no accident; of a picture that stands still none is."""
TALL = 1440
THREADS = 4
_SAID = {
    Metric.VMAF: r"VMAF score: (\S+)",
    Metric.SSIM: r"SSIM .*All:(\S+)",
    Metric.PSNR: r"PSNR .*average:(\S+)",
    Metric.XPSNR: r"XPSNR +y: *(\S+)",
}
SHIFTS = {"same": 0, "early": 1, "late": -1}
"""Of the output: frame N shows what the source shows at N + this."""

Window = tuple[int, int]
"""Frames by number, the second one left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What to compare of one output. `windows`: which frames; `inner`: those that have neighbours,
    by which a shift is found."""

    quality: Quality
    video: VideoPlan
    windows: tuple[Window, ...]
    inner: tuple[Window, ...]

    @property
    def frames(self) -> int:
        return sum(end - start for start, end in self.windows)


@dataclass(frozen=True, slots=True)
class Compared:
    """`shift`: by so many frames the output is early (or, below 0, late)."""

    score: QualityScore
    shift: int = 0
    detail: str = ""


def comparison(quality: Quality, video: VideoPlan, found: MediaInfo) -> Comparison | None:
    """None where there is no frame to compare."""
    if found.video is None:
        return None
    frames, seconds = found.video.packets, found.video.duration
    windows = _windows(frames, seconds, quality.sample.total_seconds())
    inner = [(max(start, 1), min(end, frames - 1)) for start, end in windows]
    return Comparison(
        quality=quality,
        video=video,
        windows=tuple(windows),
        inner=tuple((start, end) for start, end in inner if end > start),
    )


def _windows(frames: int, seconds: float, sample: float) -> list[Window]:
    """Pieces of two seconds, the first at the beginning and the last at the end."""
    if seconds <= sample or frames <= 1:
        return [(0, frames)]
    count = max(1, round(sample / PIECE_SECONDS))
    length = max(1, round(sample / count * frames / seconds))
    if count == 1:
        start = (frames - length) // 2
        return [(start, start + length)]
    starts = sorted({round(each * (frames - length) / (count - 1)) for each in range(count)})
    return _joined([(start, start + length) for start in starts])


def _joined(windows: Sequence[Window]) -> list[Window]:
    """A frame is compared once, however close the pieces lie."""
    joined = [windows[0]]
    for start, end in windows[1:]:
        if start < joined[-1][1]:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return joined


def compare_argv(
    plan: Plan,
    wanted: Comparison,
    found: MediaInfo,
    *,
    ffmpeg: str,
    source: str | None,
    output: str,
) -> list[str]:
    """Says the score, and those of the shifts, in its log."""
    argv = always(ffmpeg, strict=not plan.lenient) + source_argv(plan, source)
    argv += ["-protocol_whitelist", "file", "-f", reader(found.format_name), "-i", f"file:{output}"]
    index = wanted.video.source.index if source is not None else "v:0"
    behind = 1 if source is not None else 2  # a generated tone is an input of its own
    graph, ends = _graph(wanted, f"0:{index}", f"{behind}:v:0")
    argv += ["-filter_complex", ";".join(graph)]
    for end in ends:
        argv += ["-map", f"[{end}]"]
    return [*argv, "-f", "null", "-"]


def _graph(wanted: Comparison, source: str, output: str) -> tuple[list[str], list[str]]:
    """The filters, and the names of their ends. Frames are counted at the rate of the output, so
    the source gets that before it is split."""
    shifts = list(SHIFTS) if wanted.inner else []
    filters = filters_of(wanted.video)
    rate = next((each for each in filters if each.startswith("fps=")), "null")
    scaled = [each for each in filters if each != rate]
    like = f"setsar=1,format={wanted.video.pixel_format}"
    whole = _chosen(wanted.windows)
    graph = [
        f"[{source}]{rate},split={len(shifts) + 1}[r]{_labels('r', shifts)}",
        f"[r]{','.join([whole, *scaled, like])}[ref]",
        f"[{output}]split={2 if shifts else 1}[d]" + ("[s]" if shifts else ""),
        f"[d]{whole},{like}[out]",
        _score(wanted.quality.metric, wanted.video),
    ]
    return graph + _shifted(wanted.inner, shifts), ["score", *shifts]


def _shifted(inner: Sequence[Window], shifts: Sequence[str]) -> list[str]:
    """Small copies of the output against those of the source, some frames off."""
    graph = []
    if shifts:
        graph.append(f"[s]{_chosen(inner)},{SMALL},split={len(shifts)}{_labels('d', shifts)}")
    for name in shifts:
        graph.append(f"[r_{name}]{_chosen(inner, SHIFTS[name])},{SMALL}[s_{name}]")
        graph.append(f"[d_{name}][s_{name}]psnr@{name}[{name}]")
    return graph


def _labels(of: str, shifts: Sequence[str]) -> str:
    return "".join(f"[{of}_{name}]" for name in shifts)


def _chosen(windows: Sequence[Window], shift: int = 0) -> str:
    frames = "+".join(f"between(n,{start + shift},{end - 1 + shift})" for start, end in windows)
    return f"select='{frames}',{TICK}"


def _score(metric: Metric, video: VideoPlan) -> str:
    pair = "[ref][out]" if metric is Metric.XPSNR else "[out][ref]"
    options = ""
    if metric is Metric.VMAF:
        model = "vmaf_4k_v0.6.1" if video.height > TALL else "vmaf_v0.6.1"
        options = f"=model=version={model}:n_threads={THREADS}"
    return f"{pair}{FILTERS[metric]}@score{options}[score]"


def read_scores(log: Sequence[str], wanted: Comparison) -> Compared | None:
    """None when FFmpeg did not say a score."""
    metric = wanted.quality.metric
    score = _found(log, f"{FILTERS[metric]}@score", _SAID[metric])
    if score is None:
        return None
    kept = QualityScore(
        metric=metric,
        score=min(score, float(BEST_SCORE[metric])),
        frames=wanted.frames,
        least=wanted.quality.least,
    )
    shifts = {name: _found(log, f"psnr@{name}", _SAID[Metric.PSNR]) for name in SHIFTS}
    return _judge_shift(kept, {name: each for name, each in shifts.items() if each is not None})


def _judge_shift(score: QualityScore, near: dict[str, float]) -> Compared:
    if len(near) < len(SHIFTS):
        return Compared(score)
    best = max(near, key=lambda name: near[name])
    if near[best] <= near["same"] + MARGIN_DB:
        return Compared(score)
    detail = f"PSNR {near[best]:.1f} dB there, {near['same']:.1f} dB where it should be"
    return Compared(score, SHIFTS[best], detail)


def _found(log: Sequence[str], name: str, pattern: str) -> float | None:
    said = re.compile(rf"\[{re.escape(name)} @ [^\]]*\] (?:\[\w+\] )?{pattern}")
    for line in log:
        if match := said.search(line):
            return min(float(match[1]), 1000.0)  # two pictures that are the same: inf
    return None
