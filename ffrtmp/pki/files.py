"""Key files: private from their first byte, and there as a whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

CA_PEM: Final = "ca.pem"
CA_KEY: Final = "ca.key"
NEXT_CA_KEY: Final = "ca-next.key"
"""Of the CA that will follow, as long as the old one still signs."""
TLS_PEM: Final = "tls.pem"
TLS_KEY: Final = "tls.key"

_KEY_SUFFIX: Final = ".key"
_PUBLIC: Final = 0o644
_PRIVATE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700


def make_private_folder(folder: Path) -> None:
    """Makes it (and parents, as usual) for its owner alone; one that exists stays as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=_PRIVATE_FOLDER)


def write_new(path: Path, content: bytes) -> None:
    """Raises FileExistsError rather than to overwrite. Durable when it returns."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _write(temporary, content, private=path.suffix == _KEY_SUFFIX)
        os.link(temporary, path)  # unlike a rename, a link refuses to replace
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Puts it in place as a whole, over an older one. Durable when it returns."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _write(temporary, content, private=path.suffix == _KEY_SUFFIX)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def replace_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Puts a folder of exactly these files in place, an older one of that name aside and away."""
    with _aside(folder, "new") as fresh, _aside(folder, "old") as old:
        fresh.mkdir(mode=_PRIVATE_FOLDER)
        for name, content in contents.items():
            _write(fresh / name, content, private=name.endswith(_KEY_SUFFIX))
        _sync_folder(fresh)
        if folder.exists():
            folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    _sync_folder(folder.parent)


@contextmanager
def _aside(folder: Path, why: str) -> Iterator[Path]:
    path = folder.with_name(f".{folder.name}.{why}-{secrets.token_hex(4)}")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _write(path: Path, content: bytes, *, private: bool) -> None:
    mode = _PRIVATE if private else _PUBLIC
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask is
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
