"""How a command ends: the exit codes, and the mistakes that a person made."""

from enum import IntEnum


class Exit(IntEnum):
    DONE = 0
    JOB_FAILED = 1
    USAGE = 2
    NOT_REACHABLE = 3  # or not allowed
    CANCELLED = 4
    INTERRUPTED = 130  # as shells report Ctrl-C


def sentence_of(error: BaseException) -> str:
    """What it says; and, for people at a command line, where to look."""
    hint = _HINTS.get(type(error).__name__, "")
    return f"{error}{hint}"


_HINTS = {
    "JobNotFound": ": ids are in `ffrtmp jobs list`",
    "WorkerNotFound": ": names are in `ffrtmp workers list`",
}
"""By name, so that a quick command need not import what it does not use."""


class UserError(Exception):
    """One line on stderr and an exit code; never a traceback."""

    def __init__(self, sentence: str, exit_code: Exit = Exit.USAGE) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
