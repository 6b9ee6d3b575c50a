"""An OS lock on a file beside the database: it goes with the process, however that ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ffrtmp.store.errors import StoreLocked, StoreUnusable


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Raises StoreLocked when another process holds it, StoreUnusable when it cannot be made."""
    path = database.with_name(f"{database.name}.lock")
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        database.touch(mode=0o600)
        file = path.open("w")
    except OSError as error:
        raise StoreUnusable(
            f"cannot write {path}: {error.strerror}; choose another folder"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreLocked(str(database)) from None
        yield
