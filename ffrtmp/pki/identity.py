"""An identity folder, read and checked: what a process shows to its peers, and whom it trusts."""

import stat
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509

from ffrtmp.domain.identity import Peer, Role
from ffrtmp.pki.certificates import (
    CLOCK_SKEW,
    bundle_to_pem,
    certificate_to_pem,
    hosts_in,
    issuer_in,
    key_to_pem,
    peer_in,
)
from ffrtmp.pki.errors import PkiError
from ffrtmp.pki.files import CA_KEY, CA_PEM, TLS_KEY, TLS_PEM
from ffrtmp.pki.pem import is_there, read_certificate, read_certificates, read_key, same_key

# A mounted secret is often readable by its group; anybody else has no business with it.
_OTHERS = stat.S_IRWXO | stat.S_IWGRP


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """All that TLS needs; it is of use as long as `not_before <= now < not_after`. `ca_pem` holds
    every CA that is trusted: two, while one follows the other."""

    folder: Path
    peer: Peer
    hosts: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    ca_pem: bytes = field(repr=False)
    certificate_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)

    @property
    def authorities(self) -> int:
        """How many CAs are trusted."""
        return len(x509.load_pem_x509_certificates(self.ca_pem))

    @property
    def role(self) -> Role:
        return self.peer.role

    @property
    def name(self) -> str:
        return self.peer.name

    @property
    def cluster(self) -> str:
        return self.peer.cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One identity folder as `certs list` shows it; `problem` says why it cannot be used."""

    folder: Path
    peer: Peer | None
    hosts: tuple[str, ...] = ()
    not_after: datetime | None = None
    problem: str = ""


def load_identity(folder: Path, *, now: datetime, roles: frozenset[Role] | None = None) -> Identity:
    """Reads and checks an identity folder. `roles`, if given, are those that may do this work.

    Raises PkiError, whose sentence says which file is wrong and what to do.
    """
    _refuse_authority(folder)
    identity = _read(folder)
    _check_time(identity, now)
    if roles is not None and identity.role not in roles:
        needed = " or ".join(sorted(roles))
        raise PkiError(
            f"{folder} is the certificate of {identity.role} {identity.name!r}, "
            f"and this needs the role {needed}: "
            f"make one with `ffrtmp certs issue DIR {min(roles)} NAME`"
        )
    return identity


def inspect(directory: Path, *, now: datetime) -> list[Listed]:
    """The identities in a CA's folder, or the one that `directory` is itself. Raises PkiError."""
    if not is_there(directory) or not directory.is_dir():
        raise PkiError(f"there is no folder {directory}")
    folders = [directory] if is_there(directory / TLS_PEM) else identities_in(directory)
    return [_listed(folder, now) for folder in folders]


def identities_in(directory: Path) -> list[Path]:
    return sorted(
        path.parent
        for path in directory.glob(f"*/{TLS_PEM}")
        if not path.parent.name.startswith(".")
    )


def _refuse_authority(folder: Path) -> None:
    if not is_there(folder) or not folder.is_dir():
        raise PkiError(
            f"there is no folder {folder}: name one made by `ffrtmp certs issue DIR ROLE NAME`"
        )
    if is_there(folder / CA_KEY):
        names = [str(path) for path in identities_in(folder)]
        advice = (
            f"name one of the identities in it: {', '.join(names)}"
            if names
            else f"it has no identities yet; make one with `ffrtmp certs issue {folder} ROLE NAME`"
        )
        raise PkiError(f"{folder} holds the CA's key, which no master or worker needs; {advice}")


def _read(folder: Path) -> Identity:
    authorities = read_certificates(folder / CA_PEM)
    certificate = read_certificate(folder / TLS_PEM)
    key = read_key(folder / TLS_KEY)
    if (folder / TLS_KEY).stat().st_mode & _OTHERS:
        raise PkiError(
            f"{folder / TLS_KEY} is open to other users: run `chmod 600 {folder / TLS_KEY}`"
        )
    if not same_key(certificate, key):
        raise PkiError(f"{folder / TLS_KEY} is not the key of {folder / TLS_PEM}: issue them again")
    authority = issuer_in(authorities, certificate)
    if authority is None:
        raise PkiError(
            f"{folder / TLS_PEM} was not signed by {folder / CA_PEM}: "
            "copy the whole folder as it was issued"
        )
    peer = peer_in(certificate)
    if peer is None:
        raise PkiError(
            f"{folder / TLS_PEM} does not name a member of a cluster "
            "(spiffe://CLUSTER/ROLE/NAME): make one with `ffrtmp certs issue`"
        )
    return Identity(
        folder=folder,
        peer=peer,
        hosts=hosts_in(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=min(certificate.not_valid_after_utc, authority.not_valid_after_utc),
        ca_pem=bundle_to_pem(authorities),
        certificate_pem=certificate_to_pem(certificate),
        key_pem=key_to_pem(key),
    )


def _check_time(identity: Identity, now: datetime) -> None:
    if now >= identity.not_after:
        raise PkiError(
            f"the certificate in {identity.folder} ended on {identity.not_after:%Y-%m-%d}: renew "
            f"it with `ffrtmp certs renew DIR {identity.role}-{identity.name}`"
        )
    if now < identity.not_before:
        raise PkiError(
            f"the certificate in {identity.folder} is not valid before "
            f"{identity.not_before + CLOCK_SKEW:%Y-%m-%d %H:%M} UTC: check this machine's clock"
        )


def _listed(folder: Path, now: datetime) -> Listed:
    peer: Peer | None = None
    hosts: tuple[str, ...] = ()
    not_after: datetime | None = None
    try:
        certificate: x509.Certificate = read_certificate(folder / TLS_PEM)
        peer, hosts = peer_in(certificate), hosts_in(certificate)
        not_after = certificate.not_valid_after_utc
        _check_time(_read(folder), now)
    except PkiError as error:
        return Listed(
            folder=folder, peer=peer, hosts=hosts, not_after=not_after, problem=str(error)
        )
    return Listed(folder=folder, peer=peer, hosts=hosts, not_after=not_after)
