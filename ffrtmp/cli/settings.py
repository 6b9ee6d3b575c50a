"""`ffrtmp config show` and `config running`: what each option is, and where that comes from."""

from typing import NamedTuple

from ffrtmp.cli.connect import with_client
from ffrtmp.cli.errors import Exit
from ffrtmp.cli.follow import print_object
from ffrtmp.cli.sources import offered, refuse
from ffrtmp.cli.table import Table
from ffrtmp.client import Client
from ffrtmp.config import SECTIONS, ClientSettings
from ffrtmp.rpc.enums import ORIGINS


def show(section: str, *, json: bool) -> int:
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


def running(*, settings: ClientSettings) -> int:
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
