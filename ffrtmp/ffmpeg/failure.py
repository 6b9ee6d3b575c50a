"""Why FFmpeg failed: from its words, not from its exit number, which differs between versions.

First the words of the system: no room, no memory, no device. Else it depends on who spoke first:
the reader of the input (demuxers, decoders), or the side that is ours (options, filters, encoders,
muxers). Later lines are mostly echoes: a muxer without packets complains of a decoder's error.
The rules were written against the recorded failures beside their test.
"""

import re
import signal
from collections.abc import Sequence

from ffrtmp.domain.job import Failure
from ffrtmp.domain.retry import Reason

TAIL_LINES = 20

_SYSTEM = (
    (
        Reason.RESOURCE,
        (
            r"No space left on device|Disk quota exceeded|File too large|Too many open files"
            r"|shared object file: Error 24|Resource temporarily unavailable"
            r"|OpenEncodeSessionEx failed|No capable devices found|Cannot load lib\S+\.so"
            r"|No VA display found|Failed to initialise VAAPI|Error creating a MFX session"
            r"|Device creation failed|Cannot open a DRM"
        ),
    ),
    (
        Reason.RESOURCE_MEMORY,
        (
            r"Cannot allocate memory|malloc of size \d+ failed|[Mm]emory allocation (error|failed)"
            r"|std::bad_alloc|allocate memory failed|[Oo]ut of memory"
        ),
    ),
    (
        Reason.TRANSPORT,
        (
            r"Stale file handle|Transport endpoint is not connected|Remote I/O error"
            r"|opening output.*: (No such file or directory|Read-only file system)"
            r"|(muxer|trailer.*|write_frame\(\)): Read-only file system"
        ),
    ),
)
_OURS = (
    r"Unknown (encoder|input format|decoder)|Unrecognized option|Option not found"
    r"|Requested output format|Stream map|No such filter|Error initializing (output|filter|complex)"
    r"|Could not write header|Error while opening encoder|unknown timestamp"
    r"|Error (parsing|splitting|applying|reinitializing|setting option|selecting)"
    r"|opening output|(rtmps?|srt)://"  # a server's nonsense is "invalid data" to FFmpeg too
    r"|\[(out#|vost#|aost#|vf#|af#|fc#|AVFilterGraph|Parsed_|AVFormatContext)"
)
_INPUTS = (
    r"moov atom not found|EBML|[Cc]orrupt|partial file|[Tt]runcat|[Pp]acket mismatch"
    r"|could not find codec parameters|No such file or directory|Non-monoton|non monoton"
    r"|channel element \S+ is not allocated|Input buffer exhausted|[Hh]eader missing"
    r"|error (while decoding|reading header|decoding)|Error (while decoding|at MB|opening input)"
    r"|Invalid NAL|Invalid data found when processing input|Error submitting packet to decoder"
    r"|\[(in#|vist#|aist#|dec:|NULL)"
)
_ENCODERS = r"lib(?!dav1d)\S*|\w+_(nvenc|qsv|vaapi|amf)|\S+ encoder"
_MUXERS = r"mp4|mov|matroska|webm|adts|latm|ipod"
_SERVERS = r"rtmp\w*|tcp|tls|srt|udp"  # an input is never one
_BOTH_SIDES = r"mpegts|flv|ogg|aac|opus|flac|vorbis|ac3|mp3|NULL"
_LOST = re.compile(
    r"exceeds containing master element|invalid as first byte of an EBML number"
    r"|Invalid length \S+ > \S+ for element|EBML number's first byte .* exceeds max length"
    r"|File ended prematurely|partial file|offset \S+: corrupt|Read error at pos"
)
"""A reader that lost its way, and went on behind the damage: what lay between is missing."""

_RULES = tuple((reason, re.compile(pattern)) for reason, pattern in _SYSTEM)
_OUR_SIDE = re.compile(rf"{_OURS}|^\[({_ENCODERS}|{_MUXERS}|{_SERVERS}) @")
_INPUT_SIDE = re.compile(_INPUTS)
_OTHER_READER = re.compile(rf"^\[(?!({_BOTH_SIDES}|out|enc|AV\w+|SW\w+) @)[a-z0-9_,]+ @")
_STOPPED = re.compile(r"(?:\[\w+\] )?Exiting normally, received signal (\d{1,2})\.")
_LEVEL = re.compile(r"(?:\w+ ?)?(?:\[[^\[\]]*\] )*\[(?P<level>[a-z]+)\]")
"""At a line's start, behind who speaks, which may be an encoder by itself (`x264 [error]: ...`).
What FFmpeg repeats of a file, its title say, may hold the same words anywhere behind it."""
_NO_PROGRAM = re.compile(r"/\S+: error while loading")
_ERRORS = frozenset({"error", "fatal", "panic"})
_TALK = frozenset({"info", "verbose", "debug", ""})
_STRANGERS = frozenset({signal.SIGKILL, signal.SIGBUS, signal.SIGINT, signal.SIGTERM})


def classify(exit_code: int, log: Sequence[str]) -> Failure:
    """`exit_code` as of `Popen.returncode`: negative for a signal, which was not ours."""
    tail = telling_lines(log)
    if (number := _signal_of_a_stranger(exit_code, log)) is not None:
        message = f"FFmpeg was ended by {number.name}, not by us: out of memory, or a stranger"
        return Failure(
            reason=Reason.RESOURCE_MEMORY, message=message, exit_code=exit_code, log_tail=tail
        )
    errors = error_lines(log) or list(log[-1:])
    reason, line = _reason_of(errors)
    how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    what = "the input cannot be decoded" if reason is Reason.INPUT_BAD else "FFmpeg failed"
    return Failure(
        reason=reason,
        message=f"{what} ({how}): {_plain(line)}",
        exit_code=exit_code,
        log_tail=tail,
    )


def _signal_of_a_stranger(exit_code: int, log: Sequence[str]) -> signal.Signals | None:
    """FFmpeg catches the polite signals, writes a valid short file, and ends with a code of its
    own: only its words tell."""
    if -exit_code in _STRANGERS:
        return signal.Signals(-exit_code)
    for line in log:
        if match := _STOPPED.match(line):
            return signal.Signals(int(match[1]))
    return None


def _reason_of(errors: Sequence[str]) -> tuple[Reason, str]:
    for reason, pattern in _RULES:
        for line in errors:
            if pattern.search(line):
                return reason, line
    for line in errors:
        if _OUR_SIDE.search(line) and not _is_dropped_input(line):
            return Reason.FFMPEG_FAILED, line
        if _INPUT_SIDE.search(line) or _OTHER_READER.search(line):
            return Reason.INPUT_BAD, line
    return Reason.FFMPEG_FAILED, errors[0] if errors else "it said nothing"


def _is_dropped_input(line: str) -> bool:
    """A muxer that is given times which run backwards was given them by the input."""
    return "monoton" in line


def _plain(line: str) -> str:
    """Without the addresses and levels that FFmpeg puts before its words."""
    return re.sub(r"\[[^\]]*\]\s*", "", line).strip() or line.strip()


def error_lines(log: Sequence[str]) -> list[str]:
    """What FFmpeg, or the system in its place, calls an error."""
    return [line for line in log if _level(line) in _ERRORS or _NO_PROGRAM.match(line)]


def telling_lines(log: Sequence[str]) -> tuple[str, ...]:
    """What a person needs to see of it: errors and warnings, the first of them and the last, for
    the first is the cause and the last the end. All is talk: its end."""
    said = [line for line in log if _level(line) not in _TALK or _NO_PROGRAM.match(line)]
    if len(said) > TAIL_LINES:
        said = [*said[: TAIL_LINES // 2], *said[-TAIL_LINES // 2 :]]
    return tuple(said or log[-TAIL_LINES:])


def fatal_lines(log: Sequence[str]) -> list[str]:
    """Lines that forbid calling a run a success, whatever its exit code."""
    return [
        line
        for line in log
        if _level(line) == "fatal"
        or ("No space left on device" in line and _level(line) not in _TALK)
    ]


def lost_lines(log: Sequence[str]) -> list[str]:
    """Lines of a reader that skipped damage, for which FFmpeg never fails, even when told to."""
    return [line for line in log if _level(line) == "error" and _LOST.search(line)]


def _level(line: str) -> str:
    """Empty for a line that goes on with the one before, which is never more than talk."""
    match = _LEVEL.match(line)
    return match["level"] if match else ""
