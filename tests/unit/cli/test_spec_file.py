"""A mistake in a file of specs names the line, the field, the value, and what would be right."""

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict

from ffrtmp.cli.errors import UserError
from ffrtmp.cli.spec_file import Wrong, parse_spec, read_specs
from ffrtmp.v1.job_pb2 import JobSpec

GOOD = {
    "input": {"path": "m:a.mov"},
    "outputs": [
        {
            "path": "m:a.mp4",
            "container": "CONTAINER_MP4",
            "video": {"codec": 1, "width": "640", "frame_rate": {"numerator": 25.0}, "crf": 20},
            "quality": {"metric": "QUALITY_METRIC_VMAF", "min": 90.5, "sample": "1.5s"},
            "rawArguments": [{"name": "bf", "value": "1"}],
        }
    ],
    "timeout": "90s",
    "overwrite": None,
    "labels": {"zone": "eu", "gpu": "none"},
}


def test_what_protobuf_takes_is_taken_in_both_spellings():
    want = ParseDict(GOOD, JobSpec())
    assert parse_spec(json.dumps(GOOD)) == want
    for snake in (True, False):
        again = MessageToDict(want, preserving_proto_field_name=snake)
        assert parse_spec(json.dumps(again)) == want


def video(**fields: object) -> str:
    return json.dumps({"outputs": [{"path": "m:a.mp4"}, {"video": fields}]})


MISTAKES = {
    "no JSON": ("{input: 1}", "no JSON at column 2: expecting property name"),
    "no object": ("[1]", "a list is no JobSpec: write an object, {...}"),
    "too deep": ("[" * 100_000, "no JobSpec: it is nested too deep"),
    "too many digits": ("[" + "1" * 5000 + "]", "no JSON: a number in it has too many digits"),
    "unknown field": ('{"inptu": {}}', "there is no field inptu: did you mean input?"),
    "unknown field in camel case": (
        video(frameRat=1),
        "there is no field outputs[1].video.frameRat: did you mean frame_rate?",
    ),
    "nothing like it": ('{"input": {"zzz": 1}}', "no field input.zzz: there are path, test_source"),
    "twice": ('{"input": {}, "input": {}}', "input: an object is not valid: it is given twice"),
    "twice in two spellings": (
        '{"input": {"testSource": {}, "test_source": {}}}',
        "input.test_source: an object is not valid: it is given twice, as testSource too",
    ),
    "no object of labels": (
        '{"labels": ["zone=eu"]}',
        "labels: a list is not valid: write an object",
    ),
    "a label that is no text": ('{"labels": {"n": 7}}', "labels.n: 7 is not valid: write a text"),
    "a label twice": (
        '{"labels": {"zone": "eu", "zone": "us"}}',
        "zone: 'us' is not valid: it is given twice",
    ),
    "both of one": (
        '{"input": {"path": "m:a", "test_source": {}}}',
        "input.test_source: an object is not valid: give it or path, not both",
    ),
    "no list": ('{"outputs": {}}', "outputs: an object is not valid: write a list, [...]"),
    "no part": (
        '{"input": "m:a.mov"}',
        "input: 'm:a.mov' is not valid: write an object, {...}, of path, test_source",
    ),
    "no text": ('{"input": {"path": 3}}', "input.path: 3 is not valid: write a text"),
    "neither true nor false": ('{"overwrite": "yes"}', "overwrite: 'yes' is not valid: write true"),
    "enum without prefix": (
        video(codec="h264"),
        "outputs[1].video.codec: 'h264' is not valid: did you mean VIDEO_CODEC_H264? there are VI",
    ),
    "enum that is none": (
        '{"queue": "fast"}',
        "queue: 'fast' is not valid: there are QUEUE_LIVE, QUEUE_D",
    ),
    "list for an enum": ('{"queue": ["x"]}', "queue: a list is not valid: there are QUEUE_LIVE"),
    "object for an enum": ('{"queue": {"a": 1}}', "queue: an object is not valid: there are QU"),
    "number of no member": ('{"queue": 77}', "queue: 77 is not valid: there are QUEUE_LIVE"),
    "no number": (video(width="wide"), "width: 'wide' is not valid: write a whole number, 0 to"),
    "half a pixel": (video(width=1.5), "outputs[1].video.width: 1.5 is not valid: write a whole"),
    "below none": (
        video(width=-1),
        "outputs[1].video.width: -1 is not valid: write a whole number",
    ),
    "true is no number": (video(crf=True), "outputs[1].video.crf: true is not valid"),
    "beyond all": (video(width=10**400), "is not valid: write a whole number"),
    "time without unit": ('{"timeout": 90}', "timeout: 90 is not valid: write seconds, for exa"),
    "time in minutes": ('{"timeout": "2m"}', "timeout: '2m' is not valid: write seconds"),
    "nothing in a list": ('{"outputs": [null]}', "outputs[0]: null is not valid: write an object"),
    "a score that is none": (
        '{"outputs": [{"quality": {"min": "NaN"}}]}',
        "outputs[0].quality.min: 'NaN' is not valid: write a number",
    ),
}


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_a_sentence_of_ours(name, number, tmp_path: Path):
    line, sentence = MISTAKES[name]
    with pytest.raises(Wrong) as wrong:
        parse_spec(line)
    assert sentence in str(wrong.value)
    assert "google" not in str(wrong.value)
    assert "Message type" not in str(wrong.value)
    file = tmp_path / "jobs.jsonl"
    before, after = (f"{json.dumps(GOOD)}\n\n", "") if number > 1 else ("", json.dumps(GOOD))
    file.write_text(f"{before}{line}\n{after}\n")
    with pytest.raises(UserError) as refused:
        read_specs(str(file))
    assert str(refused.value) == f"{file}, line {number}: {wrong.value}"


PUSH = "rtmp://h/live/SECRET"
WITH_A_KEY = {
    "the URL twice": f'{{"outputs": [{{"url": "{PUSH}", "url": "{PUSH}"}}]}}',
    "no URL, twice": '{"outputs": [{"url": "h/live/SECRET", "url": "h/live/SECRET"}]}',
    "a URL for an output": json.dumps({"outputs": [PUSH]}),
    "a URL for the outputs": json.dumps({"outputs": PUSH}),
    "an output for the outputs": json.dumps({"outputs": {"url": PUSH}}),
    "a list of URLs": json.dumps({"outputs": [{"url": [PUSH]}]}),
    "behind a blank": json.dumps({"outputs": [f" {PUSH}"]}),
    "a field that is a URL": json.dumps({"outputs": [{PUSH: 1}]}),
    "no job": json.dumps([PUSH]),
    "a text for a job": json.dumps(PUSH),
    "no JSON": f"{{outputs: {PUSH}}}",
}


@pytest.mark.parametrize("name", WITH_A_KEY)
def test_a_mistake_shows_no_stream_key(name):
    with pytest.raises(Wrong) as wrong:
        parse_spec(WITH_A_KEY[name])
    assert "SECRET" not in str(wrong.value)


def test_one_job_over_many_lines_is_told_so(tmp_path: Path):
    file = tmp_path / "job.json"
    file.write_text(json.dumps(GOOD, indent=2))
    with pytest.raises(UserError, match="is spread over lines: write one JobSpec a line"):
        read_specs(str(file))
    file.write_text("\n")
    with pytest.raises(UserError, match="holds no job"):
        read_specs(str(file))


def test_what_a_master_says_of_a_job_is_said_of_its_line(tmp_path: Path):
    file = tmp_path / "jobs.txt"
    line = json.dumps(GOOD)
    file.write_text(f"\n{line}\n\n{line}\n")
    said = "jobs[1].outputs[0].path: 'm:a.mp4' is not valid: it is the output of jobs[0] too"
    assert read_specs(str(file)).in_lines(said) == (
        f"{file}, line 4: outputs[0].path: 'm:a.mp4' is not valid: it is the output of line 2 too"
    )
    assert read_specs(str(file)).in_lines("jobs: 0 is not valid") == "jobs: 0 is not valid"
    file.write_text(f"\n{line}\n")
    assert read_specs(str(file)).in_lines("input: no") == f"{file}, line 2: input: no"
