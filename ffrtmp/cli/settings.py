"""`ffrtmp config show` and `config running`: what each option is, and where that comes from."""

from typing import Annotated, NamedTuple

from cyclopts import Parameter

from ffrtmp.cli.connect import with_client
from ffrtmp.cli.errors import Exit
from ffrtmp.cli.follow import print_object
from ffrtmp.cli.sources import offered, refuse
from ffrtmp.cli.table import Table
from ffrtmp.client import Client
from ffrtmp.config import SECTIONS, ClientSettings
from ffrtmp.rpc.enums import ORIGINS


def show(
    section: Annotated[str, Parameter(name="SECTION")] = "",
    /,
    *,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Show what each option would be here without flags, and where that comes from.

    Passwords are left out. `ffrtmp config running` asks a master for its own.

    Parameters
    ----------
    section
        master, worker, client, up or simulate. Default: all of them.
    json
        Print one object a line.
    """
    if section and section not in SECTIONS:
        refuse(f"section {section!r}", section, SECTIONS)
    table = Table(*COLUMNS, flexible={"value", "from"})
    for name in [section] if section else SECTIONS:
        for option in offered(name):
            found = option.found
            shown = _Shown(name, option.name, option.value, found.origin.value, found.source)
            _add(table, shown, as_json=json)
    if not json:
        table.print()
    return Exit.DONE


def running(*, settings: ClientSettings | None = None) -> int:
    """Show every option of the running master, and where it came from. Needs an admin's
    identity."""
    settings = settings or ClientSettings()

    async def work(client: Client) -> int:
        table = Table(*COLUMNS, flexible={"value", "from"})
        for each in await client.settings():
            origin = ORIGINS.shown(each.origin)
            shown = _Shown("master", each.name, each.value, origin, each.source)
            _add(table, shown, as_json=settings.json)
        if not settings.json:
            table.print()
        return Exit.DONE

    return with_client(settings, work)


COLUMNS = ("section", "option", "value", "from")


class _Shown(NamedTuple):
    """One line; the names are those of the JSON too."""

    section: str
    name: str
    value: str
    origin: str
    source: str


def _add(table: Table, shown: _Shown, *, as_json: bool) -> None:
    if as_json:
        print_object(shown._asdict())
        return
    option = shown.name.replace("_", "-")
    table.add(shown.section, option, shown.value, shown.source or shown.origin)
