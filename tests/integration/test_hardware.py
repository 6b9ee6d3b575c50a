"""What the machine can do: FFmpeg found, encoders tried, and the memory of it."""

from pathlib import Path

import imageio_ffmpeg
import pytest

from ffrtmp.ffmpeg.capabilities import CANDIDATES
from ffrtmp.storage.space import Space
from ffrtmp.worker import hardware
from ffrtmp.worker.hardware import CACHE_FILE, FfmpegMissing, load, probe_tools

COUNTING = """#!/bin/sh
echo "$*" >> "{log}"
case "$*" in
    *libx265*) exit 1 ;;
    *-version* | *-protocols* | *-filters*) exec "{ffmpeg}" "$@" ;;
esac
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def counting(tmp_path: Path, log: Path) -> Path:
    """An FFmpeg that counts how often it is tried, and has no working libx265."""
    script = tmp_path / "ffmpeg"
    script.write_text(COUNTING.format(log=log, ffmpeg=imageio_ffmpeg.get_ffmpeg_exe()))
    script.chmod(0o755)
    return script


def another(script: Path, name: str, more: str = "") -> Path:
    """Beside it, with its bytes and `more`."""
    copy = script.parent / name
    copy.write_text(script.read_text() + more)
    copy.chmod(0o755)
    return copy


def tries(log: Path) -> int:
    return sum("lavfi" in line for line in log.read_text().splitlines())


def start_instead(script: Path, inner: Path) -> None:
    script.write_text(f'#!/bin/sh\nexec "{inner}" "$@"\n')


def upgrade(script: Path) -> None:
    """It says another version, and another encoder is broken."""
    says = '[ "$1" = -version ] && { echo "ffmpeg version 99.1"; exit; }'
    script.write_text(script.read_text().replace("/bin/sh\n", f"/bin/sh\n{says}\n"))
    break_instead(script, "libopus")


def break_instead(script: Path, encoder: str) -> None:
    script.write_text(script.read_text().replace("*libx265*", f"*{encoder}*"))


async def test_the_wheels_ffmpeg_encodes_everything(tmp_path: Path) -> None:
    tools = await probe_tools("", tmp_path / "state")
    assert set(tools.encoders) == set(CANDIDATES)
    assert tools.ffmpeg == imageio_ffmpeg.get_ffmpeg_exe()
    assert tools.version[0].isdigit()


@pytest.mark.requirement("G11")
async def test_encoders_are_tried_once_and_remembered(
    tmp_path: Path, counting: Path, log: Path
) -> None:
    first = await probe_tools(str(counting), tmp_path)
    tried = tries(log)
    assert "h265" not in first.encoders
    assert first.encoders["h264"] == "libx264"
    assert await probe_tools(str(counting), tmp_path) == first
    assert tries(log) == tried


async def test_another_binary_is_tried_again(tmp_path: Path, counting: Path, log: Path) -> None:
    await probe_tools(str(counting), tmp_path)
    tried = tries(log)
    break_instead(counting, "libopus")
    tools = await probe_tools(str(counting), tmp_path)
    assert "h265" in tools.encoders
    assert "opus" not in tools.encoders
    assert tries(log) == 2 * tried


async def test_what_a_script_starts_is_tried_again_when_it_was_exchanged(
    tmp_path: Path, counting: Path, log: Path
) -> None:
    """The script's own bytes are the same; what it starts says another version of itself."""
    inner = another(counting, "inner")
    start_instead(counting, inner)
    assert "h265" not in (await probe_tools(str(counting), tmp_path)).encoders
    tried = tries(log)
    upgrade(inner)
    tools = await probe_tools(str(counting), tmp_path)
    assert tools.version == "99.1"
    assert "h265" in tools.encoders
    assert "opus" not in tools.encoders
    assert tries(log) == 2 * tried


async def test_on_another_processor_encoders_are_tried_again(
    tmp_path: Path, counting: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home folder may be shared by machines that are not alike."""
    here = tmp_path / "cpuinfo"
    here.write_text("model name : A\ncpu MHz : 1\nflags : sse avx2\n\nmodel name : other\n")
    monkeypatch.setattr(hardware, "PROCESSORS", here)
    await probe_tools(str(counting), tmp_path)
    tried = tries(log)
    here.write_text("model name : A\ncpu MHz : 2\nflags : sse avx2\n\n")
    await probe_tools(str(counting), tmp_path)
    assert tries(log) == tried
    here.write_text("model name : A\ncpu MHz : 2\nflags : sse\n\n")
    await probe_tools(str(counting), tmp_path)
    assert tries(log) == 2 * tried


async def test_workers_of_two_ffmpegs_share_a_memory(
    tmp_path: Path, counting: Path, log: Path
) -> None:
    other = another(counting, "other", "\n")
    for _ in range(2):
        for each in (counting, other):
            await probe_tools(str(each), tmp_path)
    assert tries(log) == 2 * sum(map(len, CANDIDATES.values()))


async def test_the_same_bytes_in_another_place_are_read_once(
    tmp_path: Path, counting: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await probe_tools(str(counting), tmp_path)
    tried = tries(log)
    twin = another(counting, "twin")
    first = await probe_tools(str(twin), tmp_path)
    monkeypatch.setattr(hardware, "_hash", None)
    assert await probe_tools(str(twin), tmp_path) == first
    assert tries(log) == tried


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe", b'{"hashes": 3}', b"[]"])
async def test_a_spoilt_memory_is_forgotten(
    tmp_path: Path, counting: Path, log: Path, garbage: bytes
) -> None:
    (tmp_path / CACHE_FILE).write_bytes(garbage)
    tools = await probe_tools(str(counting), tmp_path)
    assert tools.encoders["vp9"] == "libvpx-vp9"
    assert await probe_tools(str(counting), tmp_path) == tools
    assert tries(log) == sum(map(len, CANDIDATES.values()))


async def test_a_state_folder_that_cannot_be_written_costs_time_only(
    tmp_path: Path, counting: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert (await probe_tools(str(counting), tmp_path / "file")).encoders


async def test_a_missing_ffmpeg_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(FfmpegMissing, match=r"'/nowhere/ffmpeg' does not exist .*--ffmpeg"):
        await probe_tools("/nowhere/ffmpeg", tmp_path)
    with pytest.raises(FfmpegMissing, match=r"/.*true is not FFmpeg"):
        await probe_tools("true", tmp_path)
    broken = tmp_path / "broken"
    broken.write_text("no program")
    broken.chmod(0o755)
    with pytest.raises(FfmpegMissing, match=r"broken cannot be started"):
        await probe_tools(str(broken), tmp_path)


def test_the_load_names_the_roots_it_can_see(tmp_path: Path) -> None:
    now = load(Space({"media": tmp_path, "gone": tmp_path / "gone"}).look())
    assert set(now.disk_free) == {"media"}
    assert now.memory_free > 0
    assert now.cpu_load >= 0
