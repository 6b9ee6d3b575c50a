"""Why a worker does not fit a job, in a sentence; and which roots a submit may name."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.roots import RootReport, check_roots, waits_for, why_useless
from ffrtmp.domain.spec import (
    AudioCodec,
    AudioSettings,
    Container,
    Input,
    JobSpec,
    MediaPath,
    Output,
    TestSource,
    VideoCodec,
    VideoSettings,
)
from ffrtmp.domain.worker import Capabilities, misfit, requirements

SPEC = JobSpec(
    input=Input(path=MediaPath("in", "a.mov")),
    outputs=(
        Output(
            path=MediaPath("out", "a.mp4"),
            container=Container.MP4,
            video=VideoSettings(codec=VideoCodec.H264),
            audio=AudioSettings(codec=AudioCodec.AAC),
        ),
    ),
)
NEEDS = requirements(SPEC)


def able(**changes: object) -> Capabilities:
    usual = {
        "spec_version": 1,
        "ffmpeg_version": "9",
        "codecs": frozenset({"h264", "aac"}),
        "roots": (RootReport(name="in"), RootReport(name="out")),
    }
    return Capabilities(**usual | changes)


def test_a_worker_that_has_everything_fits():
    assert misfit(NEEDS, able(), {}) is None
    assert misfit(NEEDS, able(), {"another": "is read-only"}) is None


@pytest.mark.parametrize(
    ("capabilities", "refused", "why"),
    [
        (able(spec_version=0), {}, "knows spec version 0, the job has 1"),
        (able(codecs=frozenset({"aac"})), {}, "has no working encoder for h264"),
        (able(codecs=frozenset()), {}, "has no working encoder for aac, h264"),
        (able(roots=(RootReport(name="in"),)), {}, "has no root 'out'"),
        (able(), {"out": "is read-only"}, "root 'out': is read-only"),
    ],
)
def test_a_worker_that_lacks_something_is_told_what(capabilities, refused, why):
    assert misfit(NEEDS, capabilities, refused) == why


def test_the_needs_are_codecs_roots_and_version():
    assert (NEEDS.codecs, NEEDS.roots, NEEDS.spec_version) == ({"h264", "aac"}, {"in", "out"}, 1)


def test_jobs_with_the_same_needs_form_a_class_whatever_else_they_ask():
    other = JobSpec(
        input=SPEC.input, outputs=SPEC.outputs, timeout=timedelta(seconds=9), overwrite=True
    )
    assert requirements(other).job_class == NEEDS.job_class
    away = JobSpec(input=Input(test_source=TestSource()), outputs=SPEC.outputs)
    assert requirements(away).job_class != NEEDS.job_class


def test_a_worker_without_a_label_is_told_so_before_all_else():
    picky = replace(NEEDS, labels={"zone": "eu"})
    bare = able(codecs=frozenset(), labels={"zone": "us"})
    assert misfit(picky, bare, {}) == "zone=eu is required, it has zone=us"
    assert misfit(picky, able(labels={"zone": "eu", "gpu": "none"}), {}) is None
    assert misfit(NEEDS, able(labels={"zone": "eu"}), {}) is None


def test_classes_of_jobs_without_labels_are_called_what_they_always_were():
    """Those that wait in a store that an older master wrote stand in the same queue."""
    assert replace(NEEDS, labels={}).job_class == NEEDS.job_class == "02f6661b793912e2"


def test_a_root_that_no_worker_has_is_refused_with_those_there_are():
    with pytest.raises(InvalidSpec, match="no worker has this root; there is a, out") as refused:
        check_roots(SPEC, known={"out", "a"})
    assert refused.value.field == "input.path"
    with pytest.raises(InvalidSpec) as refused:
        check_roots(SPEC, known={"in"})
    assert refused.value.field == "outputs[0].path"


def test_a_job_waits_for_a_root_that_gets_no_work_anywhere_and_says_why():
    assert waits_for(SPEC, {"out": "is read-only", "other": "is gone"}) == "root 'out' is read-only"
    assert not waits_for(SPEC, {"other": "is gone"})


def test_nothing_is_said_of_roots_before_any_worker_came():
    check_roots(SPEC, known=())
    generated = JobSpec(input=Input(test_source=TestSource()), outputs=SPEC.outputs)
    check_roots(generated, known={"out"})


def test_a_root_is_useless_only_where_no_worker_gets_work_on_it():
    assert why_useless({"w1": "is empty"}, workers=2) is None
    assert why_useless({}, workers=0) is None
    assert why_useless({"w2": "is gone", "w1": "is gone"}, workers=2) == (
        "gets no work on worker w1: is gone"
    )
