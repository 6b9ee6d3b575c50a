"""Whose folders are not another's though the worker is away: the store knows, for all masters."""

from ffrtmp.master.parts import Parts


async def recall_roots(parts: Parts) -> None:
    """Of workers that were lost, and of those waited for: they may be with another master by now,
    or removed."""
    asked = parts.roster.waited_for
    if parts.roster.recall(asked, await parts.store.lost_workers(asked.keys())):
        parts.wake()
