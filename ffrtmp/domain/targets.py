"""What jobs cannot make side by side: one file twice, or a file that another needs as a folder."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from ffrtmp.domain.spec import folders_of

Owner = TypeVar("Owner")


def clash(
    target: str, owner: Owner, *, owner_of: Callable[[str], Owner | None], inside: Iterable[str]
) -> tuple[str, Owner] | None:
    """The target of somebody else that stands in the way of this one, and whose it is.

    `inside`: targets that are known to lie in a folder of this name. A worker makes folders at
    once: the file's job would fail only when it is done.
    """
    for other in (target, *folders_of(target), *inside):
        found = owner_of(other)
        if found is not None and found != owner:
            return other, found
    return None
