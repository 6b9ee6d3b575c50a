"""`ffrtmp certs`: its commands and their options."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ffrtmp.pki.terms import DEFAULT_CLUSTER, DEFAULT_LIFETIME, Step

certs = App(name="certs", help="Make and issue the cluster's certificates.")


@certs.command
def init(
    directory: Annotated[Path, Parameter(name="DIR")],
    /,
    *,
    cluster: str = DEFAULT_CLUSTER,
) -> None:
    """Make a certificate authority in DIR. Its key stays there: keep the folder safe.

    Parameters
    ----------
    directory
        A new or empty folder for the CA.
    cluster
        The cluster's name; every certificate carries it.
    """
    from ffrtmp.cli import certs as work

    work.init(directory, cluster=cluster)


@certs.command
def issue(
    directory: Annotated[Path, Parameter(name="DIR")],
    role: Annotated[str, Parameter(name="ROLE")],
    name: Annotated[str, Parameter(name="NAME")],
    /,
    *,
    host: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    days: int = DEFAULT_LIFETIME.days,
    renew: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Issue the certificate of one machine or person as the folder DIR/ROLE-NAME.

    Copy that folder, and nothing else, to where it is used, and name it there with --certs.

    Parameters
    ----------
    directory
        The folder made by `ffrtmp certs init`.
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
    from ffrtmp.cli import certs as work

    work.issue(directory, role, name, host=host, days=days, renew=renew)


@certs.command
def renew(
    directory: Annotated[Path, Parameter(name="DIR")],
    names: Annotated[tuple[str, ...], Parameter(name="NAME", negative=())] = (),
    /,
    *,
    days: int = DEFAULT_LIFETIME.days,
    within: int = 30,
) -> None:
    """Renew certificates in DIR, keys included; a master keeps the hosts that it had.

    Without NAME: those that end within 30 days, or have ended. Copy each folder to where it is
    used: masters and workers that run there take the new files by themselves.

    Parameters
    ----------
    directory
        The folder made by `ffrtmp certs init`.
    names
        Their folders in DIR, such as worker-w1; or w1, where nobody else is called so.
    days
        How long the new certificates are valid.
    within
        Without NAME, renew what ends within so many days.
    """
    from ffrtmp.cli import certs as work

    work.renew(directory, names, days=days, within=within)


@certs.command
def roll(
    directory: Annotated[Path, Parameter(name="DIR")],
    step: Annotated[Step, Parameter(name="STEP")],
    /,
    *,
    days: int = DEFAULT_LIFETIME.days,
) -> None:
    """Let a new CA follow the one in DIR, in three steps, while every stream goes on.

    begin: a new CA next to the old one, and both are trusted. issue: the new one signs every
    certificate anew. finish: the old one is not trusted any more. After each step, copy the folders
    that it names to where they are used, all of them, before the next. First bring every process to
    this version: older ones read only the first CA of ca.pem.

    Parameters
    ----------
    directory
        The folder made by `ffrtmp certs init`.
    step
        begin, issue or finish. Each may be repeated.
    days
        With issue: how long the new certificates are valid.
    """
    from ffrtmp.cli import certs as work

    work.roll(directory, step, days=days)


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
    directory
        The folder made by `ffrtmp certs init`, or one identity's.
    json
        Print one object a line.
    """
    from ffrtmp.cli import certs as work

    work.list_(directory, json=json)
