"""FFmpeg's words become a reason; the sentence for people keeps what it said."""

import signal

import pytest

from ffrtmp.domain.retry import Reason
from ffrtmp.ffmpeg.failure import TAIL_LINES, classify, fatal_lines, telling_lines

CORPUS = [
    ("[out#0/mp4 @ 0x5] [error] Error writing trailer: No space left on device", "resource"),
    ("[mp4 @ 0x5] [error] write: Disk quota exceeded", "resource"),
    ("[out#0 @ 0x5] [error] File too large", "resource"),
    ("[h264_nvenc @ 0x5] [error] OpenEncodeSessionEx failed: out of memory (10)", "resource"),
    ("[in#0 @ 0x5] [error] Error opening input: Too many open files", "resource"),
    ("[libx264 @ 0x5] [error] malloc: Cannot allocate memory", "resource_memory"),
    (
        "[in#0 @ 0x5] [error] open: Invalid data found when processing input",
        "input_bad",
    ),
    ("[mov,mp4 @ 0x5] [error] moov atom not found", "input_bad"),
    ("[vist#0:0/h264 @ 0x5] [error] Error submitting packet to decoder: -1094995529", "input_bad"),
    ("[vist#0:0/h264 @ 0x5] [error] Error while decoding stream #0:0", "input_bad"),
    ("[mov,mp4 @ 0x5] [error] stream 0, offset 0x100: partial file", "input_bad"),
    ("[matroska,webm @ 0x5] [error] File is truncated at 4096", "input_bad"),
    ("[mpegts @ 0x5] [error] Packet corrupt (stream = 0, dts = 1)", "input_bad"),
    ("[h264 @ 0x5] [error] Invalid NAL unit size", "input_bad"),
    ("[matroska,webm @ 0x5] [error] EBML header parsing failed", "input_bad"),
    ("[h264 @ 0x5] [error] error while decoding MB 5 3", "input_bad"),
    ("[fatal] Unrecognized option 'crff'.", "ffmpeg_failed"),
    (
        "[vost#0:0 @ 0x5] [error] Error while opening encoder",
        "ffmpeg_failed",
    ),
    (
        "[out#0 @ 0x5] [error] Could not write header",
        "ffmpeg_failed",
    ),
]


@pytest.mark.parametrize(("line", "reason"), CORPUS)
def test_a_line_of_ffmpeg_means(line, reason):
    failure = classify(1, ["[info] Stream mapping:", line, "[info] frame=0"])
    assert str(failure.reason) == reason
    assert failure.exit_code == 1
    assert "(exit code 1): " in failure.message
    assert line.rsplit("] ", 1)[1] in failure.message


def test_a_reason_of_ours_goes_before_one_of_the_inputs():
    """A full disk also breaks what comes after it."""
    log = [
        "[in#0 @ 0x1] [error] Invalid data found when processing input",
        "[out#0 @ 0x1] [error] No space left on device",
    ]
    assert classify(228, log).reason is Reason.RESOURCE
    assert "No space left" in classify(228, log).message


def test_words_of_a_harmless_line_mean_nothing():
    """A file may be called anything."""
    log = ["[info] Input #0, from 'No space left on device.mov':", "[error] Conversion failed!"]
    assert classify(1, log).reason is Reason.FFMPEG_FAILED


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGBUS])
def test_a_kill_that_was_not_ours_is_the_machines_fault(number):
    failure = classify(-number, ["[error] Invalid data found when processing input"])
    assert failure.reason is Reason.RESOURCE_MEMORY
    assert failure.exit_code == -number
    assert signal.Signals(number).name in failure.message


def test_its_own_crash_is_the_jobs_fault():
    failure = classify(-signal.SIGSEGV, ["[info] frame=1"])
    assert failure.reason is Reason.FFMPEG_FAILED
    assert failure.message == "FFmpeg failed (signal 11): frame=1"


def test_a_silent_failure_is_said_to_be_one():
    assert classify(1, []).message == "FFmpeg failed (exit code 1): it said nothing"


def test_a_line_of_nothing_but_brackets_is_kept_as_it_is():
    assert classify(1, ["[error] "]).message.endswith(": [error]")


def test_only_the_end_of_a_long_log_is_kept():
    failure = classify(1, [f"[info] {n}" for n in range(100)])
    assert len(failure.log_tail) == TAIL_LINES
    assert failure.log_tail[-1] == "[info] 99"


def test_what_is_shown_of_a_log_is_what_tells_not_an_encoders_farewell():
    farewell = [f"[libx264 @ 0x1] [info] i16 v,h,dc,p: {n}" for n in range(25)]
    telling = [
        "[mpegts @ 0x5] [warning] Packet corrupt (stream = 1, dts = 239040)",
        "[in#0/mpegts @ 0x5] [error] corrupt input packet in stream 1",
    ]
    log = ["[info] Stream mapping:", *telling, *farewell, "[info] Conversion failed!"]
    failure = classify(183, log)
    assert failure.log_tail == tuple(telling)
    assert failure.message.endswith("(exit code 183): corrupt input packet in stream 1")


def test_of_many_errors_the_first_and_the_last_are_shown():
    log = [f"[error] {n}" for n in range(100)]
    assert telling_lines(log) == tuple(log[:10] + log[-10:])


def test_lines_that_forbid_a_success():
    harmless = ["[info] frame=1", "[warning] deprecated pixel format", "[error] non monotonic dts"]
    fatal = ["[hls @ 0x1] [fatal] oh no", "[warning] No space left on device"]
    assert fatal_lines([*harmless, *fatal]) == fatal


def test_a_server_that_answers_nonsense_says_nothing_of_the_input():
    line = "[out#0/flv @ 0x1] [fatal] Error opening output rtmp://h/app/***: "
    log = [f"{line}Invalid data found when processing input"]
    assert classify(1, log).reason is Reason.FFMPEG_FAILED
