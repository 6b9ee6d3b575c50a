"""A new CA follows the old one, while every stream goes on: in three steps, and between two of them
the folders are copied to where they are used.

    begin   a new CA, next to the old one: everybody is to trust both, the old one signs
    issue   the new one signs, every certificate anew: everybody still trusts both
    finish  nobody trusts the old one any more

Each step may be repeated: what a crash left undone is done then, and every folder is named again,
lest somebody who lost the list copies a part of them. Which step is next can be read from the
folder: `ca.pem` has every CA that is trusted, `ca.key` is the key of the one that signs, and
`ca-next.key` that of the one which will.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from ffrtmp.domain.identity import Peer, Role
from ffrtmp.pki.authority import (
    AUTHORITY_LIFETIME,
    Authority,
    issue,
    load_authority,
)
from ffrtmp.pki.certificates import (
    bundle_to_pem,
    hosts_in,
    issuer_in,
    key_to_pem,
    new_key,
    peer_in,
    sign_authority,
)
from ffrtmp.pki.errors import PkiError
from ffrtmp.pki.files import (
    CA_KEY,
    CA_PEM,
    NEXT_CA_KEY,
    TLS_PEM,
    replace_file,
)
from ffrtmp.pki.identity import identities_in
from ffrtmp.pki.pem import is_there, read_certificate, read_key, same_key
from ffrtmp.pki.terms import DEFAULT_LIFETIME, Step


@dataclass(frozen=True, slots=True)
class Rollover:
    """How far it is. `successor`: the CA that will sign; None: none waits for it."""

    authority: Authority
    successor: x509.Certificate | None

    @property
    def others(self) -> tuple[x509.Certificate, ...]:
        """Trusted, and not signing."""
        signer = self.authority.certificate
        return tuple(each for each in self.authority.trusted if each != signer)


def begin(directory: Path, *, now: datetime) -> list[Path]:
    """Returns the folders that are to be copied. Raises PkiError."""
    found = _found(directory)
    if found.successor is None and found.others:
        raise PkiError(_not_now(directory, Step.BEGIN, Step.FINISH))
    trusted = found.authority.trusted
    if found.successor is None:
        key = new_key()
        made = sign_authority(key, found.authority.cluster, now=now, lifetime=AUTHORITY_LIFETIME)
        _write(directory / NEXT_CA_KEY, key_to_pem(key))
        trusted = (*trusted, x509.load_pem_x509_certificate(made))
        _write(directory / CA_PEM, bundle_to_pem(trusted))
    return _trust(directory, trusted)


def issue_anew(
    directory: Path, *, now: datetime, lifetime: timedelta = DEFAULT_LIFETIME
) -> list[Path]:
    """Every certificate that the new CA did not sign yet, its key included; a master keeps its
    hosts. Returns the folders that are to be copied. Raises PkiError, before anything is issued
    where a folder is of no member."""
    found = _found(directory)
    if found.successor is not None:
        try:
            (directory / NEXT_CA_KEY).replace(directory / CA_KEY)
        except OSError as error:
            raise PkiError(f"cannot write {directory / CA_KEY}: {error.strerror}") from error
        found = _found(directory)
    elif not found.others:
        raise PkiError(_not_now(directory, Step.ISSUE, Step.BEGIN))
    older = [(_member(*each), each[1]) for each in _older(found.authority)]
    for peer, certificate in older:
        issue(
            directory,
            peer.role,
            peer.name,
            now=now,
            hosts=hosts_in(certificate) if peer.role is Role.MASTER else (),
            lifetime=lifetime,
            renew=True,
        )
    return identities_in(directory)


def finish(directory: Path) -> list[Path]:
    """Returns the folders that are to be copied. Raises PkiError, also while a certificate in the
    folder is the old CA's: its bearer would be refused."""
    found = _found(directory)
    if found.successor is not None:
        raise PkiError(_not_now(directory, Step.FINISH, Step.ISSUE))
    if older := [str(folder) for folder, _ in _older(found.authority)]:
        raise PkiError(
            f"{', '.join(older)}: still of the old CA, which would not be trusted any more; run "
            f"`ffrtmp certs roll {directory} issue` again, or remove what is not used"
        )
    signer = (found.authority.certificate,)
    _write(directory / CA_PEM, bundle_to_pem(signer))
    return _trust(directory, signer)


def _found(directory: Path) -> Rollover:
    authority = load_authority(directory)
    if not is_there(directory / NEXT_CA_KEY):
        return Rollover(authority, None)
    key = read_key(directory / NEXT_CA_KEY)
    successor = next((each for each in authority.trusted if same_key(each, key)), None)
    return Rollover(authority, successor)


def _older(authority: Authority) -> Iterator[tuple[Path, x509.Certificate]]:
    """Identities that another CA than this one signed."""
    for folder in identities_in(authority.directory):
        certificate = read_certificate(folder / TLS_PEM)
        if issuer_in([authority.certificate], certificate) is None:
            yield folder, certificate


def _member(folder: Path, certificate: x509.Certificate) -> Peer:
    peer = peer_in(certificate)
    if peer is None:
        raise PkiError(f"{folder} does not name a member of a cluster: remove that folder")
    return peer


def _trust(directory: Path, trusted: tuple[x509.Certificate, ...]) -> list[Path]:
    folders = identities_in(directory)
    for folder in folders:
        _write(folder / CA_PEM, bundle_to_pem(trusted))
    return folders


def _write(path: Path, content: bytes) -> None:
    try:
        replace_file(path, content)
    except OSError as error:
        raise PkiError(f"cannot write {path}: {error.strerror}") from error


def _not_now(directory: Path, step: Step, instead: Step) -> str:
    return (
        f"{step} is not the next step in {directory}: it is {instead}, "
        f"`ffrtmp certs roll {directory} {instead}`"
    )
