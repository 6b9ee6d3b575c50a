"""ffrtmp: an asyncio gRPC streaming cluster for FFmpeg.

    import ffrtmp

    async with ffrtmp.Client("master:7443", "certs/client-ann") as client:
        job = await client.submit(ffrtmp.job("media:in.mov", "media:out.mp4"))
        done = await client.result(job.job_id)

What is exported is imported when it is first used: `import ffrtmp` alone costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ffrtmp.client import (
        BlockingClient,
        Client,
        JobFailed,
        NotEnded,
        NothingToRetry,
        Unreachable,
        job,
        state_of,
    )
    from ffrtmp.domain.errors import (
        DomainError,
        IdempotencyMismatch,
        InvalidSpec,
        JobNotFound,
        NotAllowed,
        TargetTaken,
    )
    from ffrtmp.domain.job import JobState
    from ffrtmp.domain.spec import (
        AudioCodec,
        AudioSettings,
        Container,
        FrameRate,
        Input,
        JobSpec,
        MediaPath,
        Output,
        Priority,
        Purpose,
        Queue,
        Speed,
        TestSource,
        VideoCodec,
        VideoSettings,
    )

__version__ = "0.1.0"

__all__ = [
    "AudioCodec",
    "AudioSettings",
    "BlockingClient",
    "Client",
    "Container",
    "DomainError",
    "FrameRate",
    "IdempotencyMismatch",
    "Input",
    "InvalidSpec",
    "JobFailed",
    "JobNotFound",
    "JobSpec",
    "JobState",
    "MediaPath",
    "NotAllowed",
    "NotEnded",
    "NothingToRetry",
    "Output",
    "Priority",
    "Purpose",
    "Queue",
    "Speed",
    "TargetTaken",
    "TestSource",
    "Unreachable",
    "VideoCodec",
    "VideoSettings",
    "job",
    "state_of",
]
_HOMES = ("ffrtmp.domain.spec", "ffrtmp.domain.job", "ffrtmp.domain.errors", "ffrtmp.client")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in map(import_module, _HOMES):
            if hasattr(home, name):
                return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
