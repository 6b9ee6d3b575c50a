"""The certificate authority: a folder that holds `ca.key`, and below it one folder per identity.

The CA key never leaves that folder. An identity folder holds all that one machine needs, and is
what is copied there: `ca.pem`, `tls.pem`, `tls.key`.
"""

import difflib
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from ffrtmp.domain.identity import NAME_RULE, Peer, Role, is_name
from ffrtmp.pki.certificates import (
    Key,
    bundle_to_pem,
    cluster_of,
    key_to_pem,
    new_key,
    sign_authority,
    sign_member,
)
from ffrtmp.pki.errors import PkiError
from ffrtmp.pki.files import (
    CA_KEY,
    CA_PEM,
    TLS_KEY,
    TLS_PEM,
    make_private_folder,
    replace_folder,
    write_new,
)
from ffrtmp.pki.pem import is_there, read_certificates, read_key, same_key
from ffrtmp.pki.terms import DEFAULT_CLUSTER, DEFAULT_LIFETIME

AUTHORITY_LIFETIME: Final = timedelta(days=3652)
_SHORTEST: Final = timedelta(days=1)
LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")

_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")


@dataclass(frozen=True, slots=True)
class Authority:
    """`trusted`: every CA whose certificates are good: this one, and while one follows the other
    the other one too."""

    directory: Path
    cluster: str
    certificate: x509.Certificate
    key: Key
    trusted: tuple[x509.Certificate, ...]


def init(directory: Path, cluster: str = DEFAULT_CLUSTER, *, now: datetime) -> Path:
    """Makes a certificate authority in `directory`, and returns the path of its certificate.

    Raises PkiError when there is one already: a new key would disown every certificate issued.
    """
    _check_name("cluster name", cluster)
    for name in (CA_KEY, CA_PEM):
        if is_there(directory / name):
            raise PkiError(
                f"{directory / name} exists: this CA is kept, since a new one would make every "
                "certificate it issued worthless; choose another folder"
            )
    key = new_key()
    certificate = sign_authority(key, cluster, now=now, lifetime=AUTHORITY_LIFETIME)
    try:
        make_private_folder(directory)
        _write_both(directory, key_to_pem(key), certificate)
    except OSError as error:
        raise PkiError(f"cannot write the CA to {directory}: {error.strerror}") from error
    return directory / CA_PEM


def issue(
    directory: Path,
    role: str,
    name: str,
    *,
    now: datetime,
    hosts: Iterable[str] = (),
    lifetime: timedelta = DEFAULT_LIFETIME,
    renew: bool = False,
) -> Path:
    """Makes the identity folder `directory/ROLE-NAME` and returns its path.

    `hosts` are the names and addresses, besides this machine's own, by which others will dial a
    master. `renew` replaces an identity that exists, its key included. Raises PkiError.
    """
    known_role = _role(role)
    _check_name(f"{known_role} name", name)
    names = _hosts(known_role, hosts)
    authority = load_authority(directory)
    folder = directory / f"{known_role}-{name}"
    if is_there(folder) and not renew:
        raise PkiError(
            f"{folder} exists: give each {known_role} a name of its own, "
            "or replace this certificate with --renew"
        )
    key = new_key()
    certificate = sign_member(
        Peer(authority.cluster, known_role, name),
        key.public_key(),
        authority=authority.certificate,
        authority_key=authority.key,
        hosts=names,
        now=now,
        not_after=_end(authority, now, lifetime),
    )
    contents = {
        CA_PEM: bundle_to_pem(authority.trusted),
        TLS_PEM: certificate,
        TLS_KEY: key_to_pem(key),
    }
    try:
        replace_folder(folder, contents)
    except OSError as error:
        raise PkiError(f"cannot write {folder}: {error.strerror}") from error
    return folder


def load_authority(directory: Path) -> Authority:
    if not is_there(directory / CA_KEY):
        raise PkiError(
            f"{directory} holds no CA ({CA_KEY}): make one with `ffrtmp certs init {directory}`"
        )
    trusted = read_certificates(directory / CA_PEM)
    key = read_key(directory / CA_KEY)
    if not any(map(cluster_of, trusted)):
        raise PkiError(f"{directory / CA_PEM} was not made by `ffrtmp certs init`: no cluster name")
    for certificate in trusted:
        if same_key(certificate, key) and (cluster := cluster_of(certificate)) is not None:
            return Authority(directory, cluster, certificate, key, trusted)
    raise PkiError(f"{directory / CA_KEY} is not the key of {directory / CA_PEM}")


def _write_both(directory: Path, key: bytes, certificate: bytes) -> None:
    # The key first: whoever starts at the same moment loses here, before it has a certificate.
    write_new(directory / CA_KEY, key)
    try:
        write_new(directory / CA_PEM, certificate)
    except OSError:
        (directory / CA_KEY).unlink()
        raise


def _role(text: str) -> Role:
    if text in set(Role):
        return Role(text)
    nearest = difflib.get_close_matches(text.lower(), [str(role) for role in Role], n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else "choose one of them"
    raise PkiError(f"unknown role {text!r}: the roles are {', '.join(Role)}; {hint}")


def _check_name(what: str, text: str) -> None:
    if not is_name(text):
        raise PkiError(f"{what} {text!r} is not valid: use {NAME_RULE}")


def _hosts(role: Role, given: Iterable[str]) -> tuple[str, ...]:
    given = tuple(host.lower() for host in given)
    if role is not Role.MASTER:
        if given:
            raise PkiError(f"--host is for a master's certificate; nobody dials a {role}")
        return ()
    for host in given:
        if not _is_host(host):
            raise PkiError(f"host {host!r} is not a DNS name or an IP address; leave out the port")
    own = socket.gethostname().lower()
    return tuple(dict.fromkeys((*LOCAL_HOSTS, *((own,) if _is_host(own) else ()), *given)))


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text.removeprefix("*.")) is not None
    return True


def _end(authority: Authority, now: datetime, lifetime: timedelta) -> datetime:
    last = authority.certificate.not_valid_after_utc
    left = last - now
    if left < _SHORTEST:
        raise PkiError(
            f"the CA in {authority.directory} ends on {last:%Y-%m-%d}: let a new one follow it, "
            f"`ffrtmp certs roll {authority.directory} begin`"
        )
    if not _SHORTEST <= lifetime <= left:
        raise PkiError(
            f"a certificate of {lifetime.days} days is not possible: use 1 to {left.days} days, "
            "what is left of the CA's own"
        )
    return now + lifetime
