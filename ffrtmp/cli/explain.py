"""`ffrtmp jobs explain`: why a job waits."""

from collections import Counter

from ffrtmp.cli.shown import show_count
from ffrtmp.cli.table import Table, tell
from ffrtmp.domain.waiting import Obstacle
from ffrtmp.rpc.enums import OBSTACLES, WAIT_REASONS
from ffrtmp.v1 import job_service_pb2 as pb


def show_explanation(job_id: str, found: pb.ExplainJobResponse) -> None:
    """The reason, its place in the queue, and the workers."""
    said = WAIT_REASONS.shown(found.reason).replace("_", " ")
    tell(f"job {job_id}: {said}: {found.detail}")
    if found.HasField("jobs_ahead"):
        ahead = show_count(found.jobs_ahead, "job")
        tell(f"  {ahead} ahead, {found.jobs_ahead_in_class} of them with the same needs")
    if not found.workers:
        return
    counts = Counter(_kind(each) for each in found.workers)
    tell("  workers: " + ", ".join(f"{count} {name}" for name, count in counts.most_common()))
    table = Table("worker", "obstacle", "detail", flexible={"detail"})
    for each in found.workers:
        table.add(each.worker, _obstacle(each), each.detail)
    table.print()


def _kind(verdict: pb.WorkerVerdict) -> str:
    """As one says it of several."""
    name = _obstacle(verdict)
    return _KINDS.get(name, name)


_KINDS: dict[str, str] = {
    Obstacle.LABEL: "without its labels",
    Obstacle.REJECTED: "that rejected it",
    Obstacle.AVOIDED: "where it failed last",
    Obstacle.NONE: "free for it",
}


def _obstacle(verdict: pb.WorkerVerdict) -> str:
    return OBSTACLES.shown(verdict.obstacle)
