"""URLs of live pushes: what is refused, what is the same place, and what is never shown."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ffrtmp.domain.errors import InvalidSpec, TargetTaken
from ffrtmp.domain.live import MAX_URL, LiveTarget, check_url, is_url, mask, shown
from ffrtmp.domain.spec import (
    AudioCodec,
    AudioSettings,
    Container,
    Input,
    JobSpec,
    MediaPath,
    Output,
    Restart,
    TestSource,
    Verification,
    VideoCodec,
    VideoSettings,
)
from ffrtmp.domain.spec_rules import validate
from ffrtmp.ffmpeg.presets import DEFAULT_LIVE_BITRATE, expand

KEY = "s3cret-Key_42"
RTMP = f"rtmp://live.example/app/{KEY}"
SRT = f"srt://live.example:9000?mode=caller&streamid={KEY}&passphrase={KEY}xx&latency=200000"

GOOD = [
    RTMP,
    f"rtmps://live.example:443/rtmp/{KEY}?token={KEY}&a=1",
    f"rtmp://127.0.0.1:1935/app/instance/{KEY}",
    f"rtmp://[2001:db8::1]:1935/app/{KEY}",
    SRT,
    "srt://10.0.0.1:9000",
    "srt://live.example:9000?maxbw=1&inputbw=2&oheadbw=25&pkt_size=1316&peerlatency=3&pbkeylen=32",
]

BAD = {
    "another scheme": (f"http://h/app/{KEY}", "a push goes to rtmp://, rtmps://, srt://"),
    "a scheme in capitals": (f"RTMP://h/app/{KEY}", "a push goes to rtmp://"),
    "no URL": (KEY, "a push goes to"),
    "an option in front": (f"-i rtmp://h/app/{KEY}", "no blanks"),
    "a blank": (f"rtmp://h/app/{KEY} live=1", "no blanks"),
    "a line's end": (f"rtmp://h/app/{KEY}\n", "printable ASCII"),
    "a control character": (f"rtmp://h/app/\x01{KEY}", "printable ASCII"),
    "a letter beyond ASCII": (f"rtmp://h/äpp/{KEY}", "printable ASCII"),
    "user and password": (f"rtmp://user:{KEY}@h/app/key", "no name or password"),
    "a host behind a trick": (f"rtmp://good\\@evil/app/{KEY}", "no name or password"),
    "no host": (f"rtmp:///app/{KEY}", "name a host"),
    "a host like an option": (f"rtmp://-h/app/{KEY}", "name a host"),
    "no IPv6 address": (f"rtmp://[1::2::3]/app/{KEY}", "IPv6 address in brackets"),
    "port 0": (f"rtmp://h:0/app/{KEY}", "a port is 1 to 65535"),
    "a port too high": (f"rtmp://h:65536/app/{KEY}", "a port is 1 to 65535"),
    "no port": (f"rtmp://h:/app/{KEY}", "a port is 1 to 65535"),
    "no path": ("rtmp://h", "write it as rtmp://HOST/APP/KEY"),
    "no app": (f"rtmp://h/{KEY}", "write it as rtmp://HOST/APP/KEY"),
    "no key": ("rtmps://h/app/", "write it as rtmps://HOST/APP/KEY"),
    "a slash behind the key": (f"rtmp://h/app/{KEY}/", "write it as"),
    "an empty part": (f"rtmp://h//{KEY}", "write it as"),
    "a fragment": (f"rtmp://h/app/{KEY}#x", "no fragment"),
    "quotes": (f"rtmp://h/app/'{KEY}\"", "%XX"),
    "srt without a port": ("srt://h?mode=caller", "write HOST:PORT"),
    "srt with a path": (f"srt://h:1/{KEY}", "srt has no path"),
    "srt that listens": (f"srt://h:1?mode=listener&streamid={KEY}", "mode: .*caller"),
    "an unknown option": (f"srt://h:1?transtype=file&streamid={KEY}", "the options of srt are"),
    "an option twice": (f"srt://h:1?streamid={KEY}&streamid=b", "streamid is given twice"),
    "an option without value": (f"srt://h:1?{KEY}", "the options of srt are"),
    "a passphrase too short": ("srt://h:1?passphrase=short", "10 to 79 characters"),
    "a blank in disguise": (f"srt://h:1?streamid={KEY}+x", "write \\+ as %2B"),
    "latency in words": ("srt://h:1?latency=20ms", "a number of microseconds"),
    "too long": (f"rtmp://h/app/{KEY * 100}", f"at most {MAX_URL} characters"),
}


def live(url: str = RTMP, **settings: object) -> JobSpec:
    source = Input(test_source=TestSource())
    return replace(JobSpec(input=source, outputs=(Output(url=url),)), **settings)


def refused(spec: JobSpec, field: str, says: str) -> None:
    with pytest.raises(InvalidSpec, match=says) as caught:
        expand(spec)
    assert caught.value.field == field
    assert KEY not in str(caught.value)
    assert KEY not in repr(spec)


@pytest.mark.parametrize("url", GOOD)
def test_a_good_url_is_taken(url: str) -> None:
    expanded = expand(live(url))
    assert expanded.outputs[0].url == url
    assert expanded.exclusive


@pytest.mark.parametrize("name", BAD)
def test_a_bad_url_is_refused_without_showing_its_key(name: str) -> None:
    url, says = BAD[name]
    with pytest.raises(InvalidSpec, match=says) as caught:
        check_url(url, "outputs[0].url")
    assert caught.value.field == "outputs[0].url"
    assert KEY not in str(caught.value)
    assert KEY not in str(LiveTarget(url)) + repr(LiveTarget(url))


@pytest.mark.parametrize("url", [*GOOD, *(url for url, _ in BAD.values())])
def test_what_is_shown_stays_as_it_is(url: str) -> None:
    assert shown(shown(url)) == shown(url)
    assert KEY not in shown(url)


def test_what_is_shown_says_where_it_goes() -> None:
    assert shown(RTMP) == "rtmp://live.example/app/***"
    assert shown(f"{RTMP}?token=x") == "rtmp://live.example/app/***"
    assert shown(f"rtmp://h/app/instance/a/{KEY}") == "rtmp://h/app/instance/***"
    assert shown(f"rtmp://h/app/mp4:dir/{KEY}") == "rtmp://h/app/***"
    assert shown(SRT) == (
        "srt://live.example:9000?mode=caller&streamid=***&passphrase=***&latency=200000"
    )


@pytest.mark.parametrize(
    ("url", "line", "left"),
    [
        (RTMP, f"[fatal] Error opening output {RTMP}: refused", "live.example/app/***: refused"),
        (RTMP, f"Server error: no stream {KEY}.", "no stream ***."),
        (f"{RTMP}?token=abcd%2F1", "token is abcd/1", "token is ***"),
        (f"{RTMP}?token=abcd%2F1", "token is abcd%2F1", "token is ***"),
        (SRT, f"tcp: {KEY}xx and {KEY}", "tcp: *** and ***"),
        ("rtmp://h/app/a", "a cat at rtmp://h/app/a", "*** cat at rtmp://h/app/***"),
        ("srt://h:1", "frame= 1", "frame= 1"),
    ],
)
def test_a_text_loses_its_secrets_and_nothing_else(url: str, line: str, left: str) -> None:
    assert mask(line, url).endswith(left)
    assert KEY not in mask(line, url)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rtmp://h/app/k", "rtmp://H:1935/app/k"),
        ("rtmps://h/app/k", "rtmps://h:443/app/k"),
        ("rtmp://[::1]/app/k", "rtmp://[0:0::1]/app/k"),
        ("srt://h:1?streamid=a%2Fb&latency=1", "srt://h:1?mode=caller&streamid=a/b"),
    ],
)
def test_two_urls_of_one_stream_are_one_target(one: str, other: str) -> None:
    assert str(LiveTarget(one)) == str(LiveTarget(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rtmp://h/app/k", "rtmp://h/app/l"),
        ("rtmp://h/app/k", "rtmp://h/app/K"),
        ("rtmp://h/app/k?t=1", "rtmp://h/app/k?t=2"),
        ("rtmp://h/app/k", "rtmp://h:1936/app/k"),
        ("srt://h:1?streamid=a", "srt://h:1?streamid=b"),
    ],
)
def test_two_streams_are_two_targets(one: str, other: str) -> None:
    assert str(LiveTarget(one)) != str(LiveTarget(other))


def test_a_taken_target_shows_neither_key_nor_hash() -> None:
    said = str(TargetTaken(str(LiveTarget(RTMP)), "JOB"))
    assert said.startswith("target rtmp://live.example:1935/app/*** already belongs to job JOB")
    assert str(TargetTaken("media:a#b.mp4", "JOB")).startswith("target media:a#b.mp4 ")


def test_a_person_means_a_url_by_its_slashes() -> None:
    assert is_url(RTMP)
    assert is_url("http://h")
    assert not is_url("media:a.mp4")
    assert not is_url("/tmp/a.mp4")


# -- the spec -------------------------------------------------------------------------------


def test_a_file_is_no_live_job() -> None:
    spec = JobSpec(
        input=Input(test_source=TestSource()), outputs=(Output(path=MediaPath("m", "a.mp4")),)
    )
    assert not spec.exclusive
    assert spec.restarts == 0
    assert spec.shown == spec
    assert spec.paths == spec.targets == (MediaPath("m", "a.mp4"),)


def test_a_live_job_needs_no_root_for_its_output() -> None:
    assert live().roots == frozenset()
    assert live().paths == ()
    assert live(input=Input(path=MediaPath("m", "a.mp4"))).roots == {"m"}


@pytest.mark.parametrize("url", [RTMP, SRT])
def test_a_shown_spec_has_no_secret(url: str) -> None:
    assert KEY not in str([output.url for output in expand(live(url)).shown.outputs])


def test_one_of_path_and_url_is_needed() -> None:
    says = "exactly one of path and url"
    refused(live(outputs=(Output(),)), "outputs[0].path", says)
    both = Output(path=MediaPath("m", "a.flv"), url=RTMP)
    refused(live(outputs=(both,)), "outputs[0].path", says)


def test_a_url_in_the_place_of_a_path_is_told_so() -> None:
    with pytest.raises(InvalidSpec, match="goes into the field url") as caught:
        MediaPath.parse(RTMP, name="outputs[0].path")
    assert KEY not in str(caught.value)


def test_a_live_job_has_one_output() -> None:
    file = Output(path=MediaPath("m", "a.mp4"))
    one = Output(url=RTMP)
    refused(live(outputs=(one, file)), "outputs", "one output, and no files")
    refused(live(outputs=(one, replace(one, url=SRT))), "outputs", "one output, and no files")


def test_a_live_job_replaces_nothing() -> None:
    refused(live(overwrite=True), "overwrite", "a live push replaces no file")


def test_a_live_job_leaves_no_file_to_decode() -> None:
    refused(live(verification=Verification.FULL), "verification", "leaves no file to decode")


def test_only_a_live_job_is_started_again() -> None:
    file = Output(path=MediaPath("m", "a.mp4"))
    again = Restart(on_failure=3)
    refused(live(outputs=(file,), restart=again), "restart", "only a live push is started again")
    assert expand(live(restart=again)).restarts == 3


@pytest.mark.parametrize("count", [0, 1001])
def test_a_budget_has_limits(count: int) -> None:
    refused(live(restart=Restart(on_failure=count)), "restart.on_failure", "1 to 1000")


@pytest.mark.parametrize(
    ("url", "container"), [(RTMP, Container.FLV), (GOOD[1], Container.FLV), (SRT, Container.TS)]
)
def test_the_scheme_says_the_container(url: str, container: Container) -> None:
    assert expand(live(url)).outputs[0].container is container
    validate(live(outputs=(Output(url=url, container=container),)))
    wrong = Output(url=url, container=Container.MP4)
    refused(live(outputs=(wrong,)), "outputs[0].container", f"carries {container}")


def test_flv_is_no_file() -> None:
    file = Output(path=MediaPath("m", "a.flv"), container=Container.FLV)
    refused(live(outputs=(file,)), "outputs[0].container", "for pushes to rtmp only")
    refused(live(outputs=(replace(file, container=None),)), "outputs[0].path", "end it in .mp4")


@pytest.mark.parametrize("codec", [VideoCodec.H265, VideoCodec.AV1, VideoCodec.VP9])
def test_rtmp_carries_h264_only(codec: VideoCodec) -> None:
    output = Output(url=RTMP, video=VideoSettings(codec=codec))
    refused(live(outputs=(output,)), "outputs[0].video.codec", "flv holds h264")


def test_rtmp_carries_aac_only() -> None:
    output = Output(url=RTMP, audio=AudioSettings(codec=AudioCodec.OPUS))
    refused(live(outputs=(output,)), "outputs[0].audio.codec", "flv holds aac")


def test_srt_carries_h265_too() -> None:
    output = Output(url=SRT, video=VideoSettings(codec=VideoCodec.H265))
    assert expand(live(outputs=(output,))).outputs[0].video == VideoSettings(
        codec=VideoCodec.H265, bitrate=DEFAULT_LIVE_BITRATE, speed="fast"
    )


def test_a_live_push_has_a_rate_by_its_box_and_must_keep_up() -> None:
    video = expand(live(outputs=(Output(url=RTMP, preset="720p30-h264"),))).outputs[0].video
    assert (video.bitrate, video.crf, video.speed) == (1280 * 720 * 3, None, "fast")
    asked = Output(url=RTMP, video=VideoSettings(crf=20))
    assert expand(live(outputs=(asked,))).outputs[0].video.bitrate is None


def test_a_time_out_is_for_live_jobs_too() -> None:
    assert expand(live(timeout=timedelta(hours=1))).timeout == timedelta(hours=1)
