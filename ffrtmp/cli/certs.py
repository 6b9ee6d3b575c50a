"""`ffrtmp certs`: make a certificate authority, issue and renew certificates, look at them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from difflib import get_close_matches
from functools import partial
from json import dumps
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ffrtmp.cli.errors import UserError
from ffrtmp.cli.table import tell
from ffrtmp.clock import utc_now
from ffrtmp.domain.identity import Role
from ffrtmp.pki import authority, identity, rollover
from ffrtmp.pki.errors import PkiError
from ffrtmp.pki.rollover import Step

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
    directory
        A new or empty folder for the CA.
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
    lifetime = _days(days, "--days")
    with _mistakes():
        folder = authority.issue(
            directory, role, name, now=utc_now(), hosts=host, lifetime=lifetime, renew=renew
        )
    print(folder)


@certs.command
def renew(
    directory: Annotated[Path, Parameter(name="DIR")],
    names: Annotated[tuple[str, ...], Parameter(name="NAME", negative=())] = (),
    /,
    *,
    days: int = authority.DEFAULT_LIFETIME.days,
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
    now, lifetime, span = utc_now(), _days(days, "--days"), _days(within, "--within")
    with _mistakes():
        found = {listed.folder.name: listed for listed in identity.inspect(directory, now=now)}
        due = [each for each in found.values() if _ends_within(each, span, now)]
        for listed in [_named(found, name, directory) for name in names] if names else due:
            folder = _renew(directory, listed, now, lifetime)
            print(f"{folder}  until {now + lifetime:%Y-%m-%d}")
    if not names and not due:
        print(f"nothing to do: no certificate in {directory} ends within {within} days")


def _renew(directory: Path, listed: identity.Listed, now: datetime, lifetime: timedelta) -> Path:
    """Raises UserError, PkiError."""
    if listed.peer is None:
        raise UserError(f"{listed.folder} cannot be renewed: {listed.problem}")
    role, name = listed.peer.role, listed.peer.name
    hosts = listed.hosts if role is Role.MASTER else ()
    return authority.issue(
        directory, role, name, now=now, hosts=hosts, lifetime=lifetime, renew=True
    )


_NEXT = {
    Step.BEGIN: (
        "copy these folders to where they are used: what runs there trusts both CAs within two "
        "seconds; when all have it: ffrtmp certs roll {directory} issue"
    ),
    Step.ISSUE: (
        "copy these folders again: what runs there shows the new certificates within two seconds; "
        "when all have them: ffrtmp certs roll {directory} finish"
    ),
    Step.FINISH: (
        "copy these folders once more: then nobody trusts the old CA, and what still shows one of "
        "its certificates is refused when it dials"
    ),
}
_NO_OTHER = (
    "there is no other CA in {directory}: if this step was run before, copy these folders as it "
    "said; else nothing is to be done"
)


@certs.command
def roll(
    directory: Annotated[Path, Parameter(name="DIR")],
    step: Annotated[Step, Parameter(name="STEP")],
    /,
    *,
    days: int = authority.DEFAULT_LIFETIME.days,
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
    now, lifetime = utc_now(), _days(days, "--days")
    take = {
        Step.BEGIN: partial(rollover.begin, directory, now=now),
        Step.ISSUE: partial(rollover.issue_anew, directory, now=now, lifetime=lifetime),
        Step.FINISH: partial(rollover.finish, directory),
    }
    with _mistakes():
        alone = len(authority.load_authority(directory).trusted) == 1
        folders = take[step]()
    for folder in folders:
        print(folder)
    advice = _NO_OTHER if alone and step is Step.FINISH else _NEXT[step]
    print(advice.format(directory=directory))


def _ends_within(listed: identity.Listed, span: timedelta, now: datetime) -> bool:
    return listed.not_after is not None and listed.not_after - now < span


def _named(found: Mapping[str, identity.Listed], name: str, directory: Path) -> identity.Listed:
    """By the folder, or by the member's own name where there is one of it."""
    if name in found:
        return found[name]
    called = [each for each in found.values() if each.peer and each.peer.name == name]
    if len(called) == 1:
        return called[0]
    near = get_close_matches(name, found, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"ffrtmp certs list {directory} shows them"
    raise UserError(f"there is no certificate {name!r} in {directory}: {hint}")


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
    with _mistakes():
        found = identity.inspect(directory, now=utc_now())
    if not found and not json:
        print(f"no certificates in {directory}: ffrtmp certs issue {directory} ROLE NAME")
    for listed in found:
        if json:
            print(dumps(_facts(listed)))
        else:
            tell(_line(listed, utc_now()))


def _facts(listed: identity.Listed) -> dict[str, object]:
    return {
        "folder": str(listed.folder),
        "member": listed.peer.actor if listed.peer else None,
        "cluster": listed.peer.cluster if listed.peer else None,
        "not_after": listed.not_after.isoformat() if listed.not_after else None,
        "days_left": (listed.not_after - utc_now()).days if listed.not_after else None,
        "hosts": list(listed.hosts),
        "problem": listed.problem,
    }


def _line(listed: identity.Listed, now: datetime) -> str:
    who = listed.peer.actor if listed.peer else listed.folder.name
    until, left = "", ""
    if listed.not_after is not None:
        until = f"until {listed.not_after:%Y-%m-%d}"
        left = f"{max(0, (listed.not_after - now).days)} days left"
    parts = (f"{who:<24}", until, left, ",".join(listed.hosts), listed.problem)
    return "  ".join(part for part in parts if part).rstrip()


def _days(days: int, option: str) -> timedelta:
    try:
        return timedelta(days=days)
    except OverflowError:
        raise UserError(f"{option} {days}: use the number of days, such as 365") from None


@contextmanager
def _mistakes() -> Iterator[None]:
    try:
        yield
    except PkiError as error:
        raise UserError(str(error)) from error
