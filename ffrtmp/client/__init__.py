"""The Python client: `Client` with asyncio, `BlockingClient` without; one code behind both."""

from ffrtmp.client.aio import Client, state_of
from ffrtmp.client.blocking import BlockingClient
from ffrtmp.client.errors import JobFailed, NotEnded, NothingToRetry, Unreachable
from ffrtmp.client.specs import job

__all__ = [
    "BlockingClient",
    "Client",
    "JobFailed",
    "NotEnded",
    "NothingToRetry",
    "Unreachable",
    "job",
    "state_of",
]
