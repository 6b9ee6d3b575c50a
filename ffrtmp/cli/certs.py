"""`ffrtmp certs`: make a certificate authority, issue certificates, look at them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from json import dumps
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ffrtmp.cli.errors import UserError
from ffrtmp.clock import utc_now
from ffrtmp.pki import authority, identity
from ffrtmp.pki.errors import PkiError

certs = App(name="certs", help="Make and issue the cluster's certificates.")


@certs.command
def init(
    directory: Annotated[Path, Parameter(name="DIR")],
    /,
    *,
    cluster: str = authority.DEFAULT_CLUSTER,
) -> None:
    """Make a certificate authority in DIR. Its key stays there: keep the folder safe.

    Parameters
    ----------
    cluster
        The cluster's name; every certificate carries it.
    """
    with _mistakes():
        authority.init(directory, cluster, now=utc_now())
    print(f"made the CA of cluster {cluster!r} in {directory}")
    print(f"next: ffrtmp certs issue {directory} master m1")


@certs.command
def issue(
    directory: Annotated[Path, Parameter(name="DIR")],
    role: Annotated[str, Parameter(name="ROLE")],
    name: Annotated[str, Parameter(name="NAME")],
    /,
    *,
    host: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    days: int = authority.DEFAULT_LIFETIME.days,
    renew: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Issue the certificate of one machine or person as the folder DIR/ROLE-NAME.

    Copy that folder, and nothing else, to where it is used, and name it there with --certs.

    Parameters
    ----------
    role
        master, worker, client or admin.
    name
        A name of its own: lower-case letters, digits and hyphens.
    host
        A name or address, besides this machine's own, by which a master will be dialled. Repeat it.
    days
        How long the certificate is valid.
    renew
        Replace a certificate that exists, its key included.
    """
    lifetime = _days(days)
    with _mistakes():
        folder = authority.issue(
            directory, role, name, now=utc_now(), hosts=host, lifetime=lifetime, renew=renew
        )
    print(folder)


@certs.command(name="list", alias="inspect")
def list_(
    directory: Annotated[Path, Parameter(name="DIR")],
    /,
    *,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """List the certificates in DIR, or show the one that DIR holds.

    Parameters
    ----------
    json
        Print one object a line.
    """
    with _mistakes():
        found = identity.inspect(directory, now=utc_now())
    if not found and not json:
        print(f"no certificates in {directory}: ffrtmp certs issue {directory} ROLE NAME")
    for listed in found:
        print(dumps(_facts(listed)) if json else _line(listed))


def _facts(listed: identity.Listed) -> dict[str, object]:
    return {
        "folder": str(listed.folder),
        "member": listed.peer.actor if listed.peer else None,
        "cluster": listed.peer.cluster if listed.peer else None,
        "not_after": listed.not_after.isoformat() if listed.not_after else None,
        "hosts": list(listed.hosts),
        "problem": listed.problem,
    }


def _line(listed: identity.Listed) -> str:
    who = listed.peer.actor if listed.peer else listed.folder.name
    until = f"until {listed.not_after:%Y-%m-%d}" if listed.not_after else ""
    parts = (f"{who:<24}", until, ",".join(listed.hosts), listed.problem)
    return "  ".join(part for part in parts if part).rstrip()


def _days(days: int) -> timedelta:
    try:
        return timedelta(days=days)
    except OverflowError:
        raise UserError(f"--days {days}: use the number of days, such as 365") from None


@contextmanager
def _mistakes() -> Iterator[None]:
    try:
        yield
    except PkiError as error:
        raise UserError(str(error)) from error
