"""Verified files under their final names, so that every moment in between can be survived.

Everything here blocks on the file system: call it in a thread. Nothing is deleted to make room:
a target is replaced by a rename, or linked where nothing was. All steps may be repeated: a target
that has the manifest's bytes is done, whoever did it.
"""

import ctypes
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from ffrtmp.domain.job import FileRecord, Manifest
from ffrtmp.domain.session import AttemptKey
from ffrtmp.storage.errors import StagedLost, TargetConflict, exists, writing
from ffrtmp.storage.handles import Proof
from ffrtmp.storage.staging import hash_file, staged_path, sync

AT_FDCWD = -100
RENAME_NOREPLACE = 1
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL})
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One output on its way: its record in the manifest, its target, and where it is staged.

    `proof` is of the very file that was hashed; None: nobody remembers, and it is hashed anew.
    """

    record: FileRecord
    target: Path
    staged: Path
    proof: Proof | None = None


def deliveries(
    manifest: Manifest, targets: Sequence[Path], job_id: str, proofs: Sequence[Proof] = ()
) -> tuple[Delivery, ...]:
    """`targets`, and `proofs` where there are any, in the manifest's order."""
    key = AttemptKey(job_id, manifest.fence)
    known = proofs or repeat(None, len(targets))
    return tuple(
        Delivery(record, target, staged_path(target, key), proof)
        for record, target, proof in zip(manifest.files, targets, known, strict=True)
    )


def publish(parcels: Sequence[Delivery], *, overwrite: bool) -> None:
    """All or nothing until the first rename, then only forward.

    Raises StagedLost, TargetConflict (then none of ours is left at a target), NoSpace,
    TargetUnusable, StorageFailing.
    """
    waiting = [parcel for parcel in parcels if not _is_delivered(parcel)]
    for parcel in waiting:
        if not _has_staged(parcel):
            raise StagedLost(parcel.record.path)
    if overwrite:
        _replace(waiting)
    else:
        _place(waiting)
    for folder in {parcel.target.parent for parcel in parcels}:
        with writing(parcels[0].record.path):
            sync(folder)


def take_over(parcels: Sequence[Delivery], key: AttemptKey) -> None:
    """Renames what another attempt staged to this attempt's names: who held them before, finds
    nothing to publish. What is published already is left alone. Raises StagedLost."""
    for parcel in parcels:
        with writing(parcel.record.path):
            mine = staged_path(parcel.target, key)
            if parcel.staged != mine and exists(parcel.staged):
                parcel.staged.rename(mine)
            if not (_holds(mine, parcel.record) or _holds(parcel.target, parcel.record)):
                raise StagedLost(parcel.record.path)
    for folder in {parcel.target.parent for parcel in parcels}:
        sync(folder)


def _replace(parcels: Sequence[Delivery]) -> None:
    for parcel in parcels:
        with writing(parcel.record.path):
            parcel.staged.replace(parcel.target)


def _place(parcels: Sequence[Delivery]) -> None:
    """Links all, then removes the staged names. A target that is a link to its own staged file was
    put there by an attempt at this very step, which did not live to finish it."""
    placed: list[Delivery] = []
    try:
        for parcel in parcels:
            with writing(parcel.record.path):
                _link(parcel)
            placed.append(parcel)
    except BaseException:
        for parcel in parcels if len(placed) < len(parcels) else ():
            _take_back(parcel, placed)
        raise
    for parcel in placed:
        parcel.staged.unlink(missing_ok=True)


def _link(parcel: Delivery) -> None:
    try:
        parcel.target.hardlink_to(parcel.staged)
    except FileExistsError:
        if not _is_linked(parcel):
            raise TargetConflict(parcel.record.path) from None
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _rename_without_replacing(parcel)


def _rename_without_replacing(parcel: Delivery) -> None:
    """For file systems without hard links."""
    source, target = os.fsencode(parcel.staged), os.fsencode(parcel.target)
    if _libc.renameat2(AT_FDCWD, source, AT_FDCWD, target, RENAME_NOREPLACE) == 0:
        return
    number = ctypes.get_errno()
    if number == errno.EEXIST:
        raise TargetConflict(parcel.record.path)
    raise OSError(number, os.strerror(number))


def _take_back(parcel: Delivery, placed: Sequence[Delivery]) -> None:
    if _is_linked(parcel):
        parcel.target.unlink()
    elif parcel in placed and not parcel.staged.exists():
        parcel.target.rename(parcel.staged)


def _is_linked(parcel: Delivery) -> bool:
    try:
        return os.path.samestat(parcel.target.lstat(), parcel.staged.lstat())
    except OSError:
        return False


def _is_delivered(parcel: Delivery) -> bool:
    """An earlier try did it: the staged name is gone, the bytes are here."""
    return not exists(parcel.staged) and _holds(parcel.target, parcel.record)


def _has_staged(parcel: Delivery) -> bool:
    """Only the bytes of the manifest may be published: the file that was hashed, untouched, or one
    that has them."""
    try:
        found = parcel.staged.lstat()
    except OSError:
        return False
    return Proof.of(found) == parcel.proof or _holds(parcel.staged, parcel.record)


def _holds(path: Path, record: FileRecord) -> bool:
    """Whether a file has these very bytes."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size != record.size:
            return False
        return hash_file(path, record.path) == record
    except OSError:
        return False
