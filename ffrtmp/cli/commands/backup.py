"""`ffrtmp backup` and `ffrtmp restore`: their options."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

File = Annotated[Path, Parameter(name="FILE")]


def backup(
    file: File,
    /,
    *,
    store: str = "",
    overwrite: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Copy the SQLite store of a master, running or not, to FILE, and its checksum beside it.

    Parameters
    ----------
    file
        The copy to make; FILE.sha256 goes beside it. Copy both elsewhere.
    store
        The SQLite file. Default: master.db in the state folder.
    overwrite
        Replace FILE if it exists.
    """
    from ffrtmp.cli import backup as work

    work.backup(file, store=store, overwrite=overwrite)


def restore(
    file: File,
    /,
    *,
    store: str = "",
    overwrite: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Put a copy in the place of a master's SQLite store. The master must be stopped.

    What happened since the copy was made is not in it: jobs that were submitted later are gone,
    and those that ended later are queued or run again.

    Parameters
    ----------
    file
        A copy that `ffrtmp backup` made; FILE.sha256 lies beside it.
    store
        The SQLite file. Default: master.db in the state folder.
    overwrite
        Replace a store that exists; it is kept beside the new one, ending in .old.
    """
    from ffrtmp.cli import backup as work

    work.restore(file, store=store, overwrite=overwrite)
