"""An identity that is renewed under a running process: new files in its folder are noticed.

They are taken when they are whole, good and of the same member; else the old ones stay in use, and
the log says why. `ca.pem` may have several CAs: who shows a certificate of any of them is trusted.
Only files that were left alone for a while, or from one look to the next, are judged: a folder is
seldom copied in one step.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from ffrtmp.domain.identity import Role
from ffrtmp.pki.errors import PkiError
from ffrtmp.pki.files import CA_PEM, TLS_KEY, TLS_PEM
from ffrtmp.pki.identity import Identity, load_identity

_log: Final = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
LEFT_ALONE: Final = timedelta(seconds=2 * LOOK_SECONDS)
"""So long after their last change files are judged at the first look at them."""

_Signature = tuple[tuple[int, ...] | None, ...]
_CHANGED: Final = 2
"""Where a stamp has the time of the last change of any kind."""


class LiveIdentity:
    """`current` is what to show to peers from now on; what was shown before is not touched."""

    def __init__(self, identity: Identity, taken: _Signature) -> None:
        self._current = identity
        self._taken = self._seen = taken

    @classmethod
    def load(cls, folder: Path, *, now: datetime, roles: Collection[Role]) -> "LiveIdentity":
        """Raises PkiError."""
        taken = _signature(folder)
        return cls(load_identity(folder, now=now, roles=frozenset(roles)), taken)

    @property
    def current(self) -> Identity:
        return self._current

    def look(self, now: datetime) -> None:
        """Takes what is new in the folder, or says in the log why not."""
        found = _signature(self._current.folder)
        is_settled = found == self._seen or _is_older(found, now - LEFT_ALONE)
        self._seen = found
        if not is_settled or found == self._taken:
            return
        self._taken = found
        try:
            renewed = _same_member(load_identity(self._current.folder, now=now), self._current)
        except PkiError as error:
            _log.error("the new certificate is not used, the old one is: %s", error)
            return
        if renewed != self._current:
            self._current = renewed
            _log.info(
                "new files of %s taken from %s, good until %s UTC, CAs trusted: %d",
                *(renewed.peer.actor, renewed.folder, f"{renewed.not_after:%Y-%m-%d %H:%M}"),
                renewed.authorities,
            )

    async def follow(self, now: Callable[[], datetime]) -> None:
        """Looks again and again. Runs until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.to_thread(self.look, now())

    def news(self) -> Callable[[], Identity | None]:
        """A function that returns the current identity when it has changed since the last call."""
        shown = self._current

        def take() -> Identity | None:
            nonlocal shown
            newest = self._current
            if newest is shown:
                return None
            shown = newest
            return newest

        return take


def _same_member(renewed: Identity, used: Identity) -> Identity:
    if renewed.peer != used.peer:
        raise PkiError(
            f"{renewed.folder} is of {renewed.peer.actor} of cluster {renewed.cluster} now, and "
            f"this process is {used.peer.actor} of {used.cluster}: restart it to change who it is"
        )
    return renewed


def _signature(folder: Path) -> _Signature:
    """What changes when a file does, also where it is a link into a mounted secret."""
    return tuple(_stamp(folder / name) for name in (CA_PEM, TLS_PEM, TLS_KEY))


def _is_older(signature: _Signature, than: datetime) -> bool:
    """Whether all are there, and none was changed since."""
    limit = int(than.timestamp() * 1_000_000_000)
    return all(stamp is not None and stamp[_CHANGED] < limit for stamp in signature)


def _stamp(path: Path) -> tuple[int, ...] | None:
    """With the time of its last change of any kind: a chmod may mend what was refused."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
