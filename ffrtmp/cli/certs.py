"""`ffrtmp certs`: make a certificate authority, issue and renew certificates, look at them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from difflib import get_close_matches
from functools import partial
from json import dumps
from pathlib import Path

from ffrtmp.cli.errors import UserError
from ffrtmp.cli.table import tell
from ffrtmp.clock import utc_now
from ffrtmp.domain.identity import Role
from ffrtmp.pki import authority, identity, rollover
from ffrtmp.pki.errors import PkiError
from ffrtmp.pki.terms import Step


def init(directory: Path, *, cluster: str) -> None:
    with _mistakes():
        authority.init(directory, cluster, now=utc_now())
    print(f"made the CA of cluster {cluster!r} in {directory}")
    print(f"next: ffrtmp certs issue {directory} master m1")


def issue(
    directory: Path, role: str, name: str, *, host: tuple[str, ...], days: int, renew: bool
) -> None:
    lifetime = _days(days, "--days")
    with _mistakes():
        folder = authority.issue(
            directory, role, name, now=utc_now(), hosts=host, lifetime=lifetime, renew=renew
        )
    print(folder)


def renew(directory: Path, names: tuple[str, ...], *, days: int, within: int) -> None:
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


def roll(directory: Path, step: Step, *, days: int) -> None:
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


def list_(directory: Path, *, json: bool) -> None:
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
