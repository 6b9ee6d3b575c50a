"""The worker's certificate, renewed while it runs."""

import asyncio
import logging
from datetime import timedelta

from ffrtmp.clock import utc_now
from ffrtmp.pki.identity import Identity
from ffrtmp.pki.live import LOOK_SECONDS, LiveIdentity
from ffrtmp.worker.link import Link
from ffrtmp.worker.session import Session

_log = logging.getLogger("ffrtmp.worker")

REDIAL_BEFORE = timedelta(minutes=10)
"""Before its certificate ends a stream is left for one with a newer certificate."""


class Renewal:
    """`link` opened the streams with what `live` showed then."""

    def __init__(self, live: LiveIdentity, link: Link) -> None:
        self._live = live
        self._link = link

    @property
    def name(self) -> str:
        return self._live.current.name

    async def follow(self) -> None:
        await self._live.follow(utc_now)

    async def redial(self, session: Session) -> None:
        """A stream ends with the certificate that it was opened with: a newer one is shown in
        time. Runs until cancelled."""
        warned: Identity | None = None
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            used, newest = self._link.used, self._live.current
            left = used.not_after - utc_now()
            if newest is not used and left < REDIAL_BEFORE:
                session.redial("its certificate ends soon, and there is a new one")
            elif left < timedelta(0) and warned is not used:
                warned = used
                _log.error(
                    "the certificate in %s has ended, no master takes it: put a new one there, "
                    "made with `ffrtmp certs renew DIR worker-%s`; jobs run on",
                    *(used.folder, used.name),
                )
