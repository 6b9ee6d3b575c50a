"""Why FFmpeg failed: from its words, not from its exit number, which differs between versions."""

import re
import signal
from collections.abc import Sequence

from ffrtmp.domain.job import Failure
from ffrtmp.domain.retry import Reason

TAIL_LINES = 20

_PATTERNS = (
    (Reason.RESOURCE, r"No space left on device|Disk quota exceeded|File too large"),
    (Reason.RESOURCE, r"OpenEncodeSessionEx failed|Too many open files"),
    (Reason.RESOURCE_MEMORY, r"Cannot allocate memory"),
    (
        Reason.INPUT_BAD,
        (
            r"Invalid data found when processing input|moov atom not found|Error opening input"
            r"|Error (while )?decoding|Error submitting packet to decoder|partial file"
            r"|[Tt]runcat|corrupt|Invalid NAL|EBML header parsing failed|error while decoding MB"
        ),
    ),
)
_RULES = tuple((reason, re.compile(pattern)) for reason, pattern in _PATTERNS)
_FATAL = re.compile(r"\[(fatal|error)\]|\] \[(fatal|error)\]")


def classify(exit_code: int, log: Sequence[str]) -> Failure:
    """`exit_code` as of `Popen.returncode`: negative for a signal, which was not ours."""
    tail = tuple(log[-TAIL_LINES:])
    if exit_code in {-signal.SIGKILL, -signal.SIGBUS}:
        name = signal.Signals(-exit_code).name
        reason, message = Reason.RESOURCE_MEMORY, f"FFmpeg was ended by {name}, not by us"
        return Failure(
            reason=reason,
            message=f"{message}: out of memory, or a stranger",
            exit_code=exit_code,
            log_tail=tail,
        )
    errors = [line for line in log if _FATAL.search(line)] or list(tail[-1:])
    reason, line = _reason_of(errors)
    how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    return Failure(
        reason=reason,
        message=f"FFmpeg failed ({how}): {_plain(line)}",
        exit_code=exit_code,
        log_tail=tail,
    )


def _reason_of(errors: Sequence[str]) -> tuple[Reason, str]:
    for reason, pattern in _RULES:
        for line in errors:
            if reason is Reason.INPUT_BAD and "opening output" in line:
                continue  # a server that answers nonsense is "invalid data" to FFmpeg too
            if pattern.search(line):
                return reason, line
    return Reason.FFMPEG_FAILED, errors[0] if errors else "it said nothing"


def _plain(line: str) -> str:
    """Without the addresses and levels that FFmpeg puts before its words."""
    return re.sub(r"\[[^\]]*\]\s*", "", line).strip() or line.strip()


def fatal_lines(log: Sequence[str]) -> list[str]:
    """Lines that forbid calling a run a success, whatever its exit code."""
    return [line for line in log if "[fatal]" in line or "No space left on device" in line]
