"""What `workers get` says of the limits of a worker."""

from ffrtmp.cli.workers import limit_lines
from ffrtmp.v1 import admin_service_pb2 as pb

BOTH = pb.AttemptLimits(
    memory=3 << 29,
    cores=1.5,
    memory_way=pb.LIMIT_WAY_CGROUP,
    cpu_way=pb.LIMIT_WAY_AFFINITY,
)


def test_each_limit_is_shown_with_what_holds_it():
    assert limit_lines(pb.WorkerCapabilities(limits=BOTH)) == [
        "one FFmpeg may have 1.50 GiB of memory, by cgroup",
        "one FFmpeg may use 1.5 processors, by affinity",
    ]


def test_without_limits_that_is_said_too():
    [line] = limit_lines(pb.WorkerCapabilities(limits=pb.AttemptLimits()))
    assert "there are no limits" in line


def test_a_worker_that_knows_of_none_says_nothing():
    assert limit_lines(pb.WorkerCapabilities()) == []
