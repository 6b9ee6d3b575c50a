"""`ffrtmp master` and `ffrtmp worker`: one process each, in the foreground."""

from ffrtmp.cli.platforms import require_cluster
from ffrtmp.cli.sources import origins
from ffrtmp.config import MasterSettings, WorkerSettings


def master(settings: MasterSettings) -> int:
    """Run a master: it owns the jobs, workers and clients dial it."""
    require_cluster()  # before imports that need Linux
    import asyncio

    from ffrtmp.master.server import run_master
    from ffrtmp.telemetry import lines

    lines.set_up(settings.log_format)
    return asyncio.run(run_master(settings, ready=_say_ready, found=origins()))


def _say_ready(grpc_address: str, http_address: str) -> None:
    print(f"master ready: gRPC on {grpc_address}, HTTP on {http_address}", flush=True)


def worker(settings: WorkerSettings) -> int:
    """Run a worker: it dials a master and runs FFmpeg."""
    require_cluster()  # before imports that need Linux
    import asyncio

    from ffrtmp.telemetry import lines
    from ffrtmp.worker.start import start_worker

    lines.set_up(settings.log_format)
    return asyncio.run(start_worker(settings))
