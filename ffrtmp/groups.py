"""Errors of a task group as the caller of a plain call expects them: one, not a group.

Nothing here, and nothing elsewhere, raises inside `except*`: what is raised there comes out bare or
wrapped in one more group, depending on the patch release of Python 3.11.
"""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_error(*kinds: type[Exception]) -> Iterator[None]:
    """Raises the first error of the group that comes, when all in it are of `kinds`."""
    try:
        yield
    except BaseExceptionGroup as group:
        if group.split(kinds)[1] is None:
            raise first_of(group) from None
        raise


def first_of(error: BaseException) -> BaseException:
    """The innermost first one of a group; anything else is itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def holds(error: BaseException, kind: type[Exception]) -> bool:
    """Whether it is one of that kind, or a group with one inside."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(kind) is not None
    return isinstance(error, kind)
