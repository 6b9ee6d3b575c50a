"""`ffrtmp config show` and `config running`: what each option is, and where that comes from."""

from typing import Annotated

from cyclopts import Parameter

from ffrtmp.cli.connect import with_client
from ffrtmp.cli.errors import Exit
from ffrtmp.cli.follow import print_object
from ffrtmp.cli.sources import offered, refuse
from ffrtmp.cli.table import Table
from ffrtmp.client import Client
from ffrtmp.config import SECTIONS, ClientSettings, Found, Option, Origin
from ffrtmp.v1.admin_service_pb2 import SettingOrigin


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
            _add(table, name, option, as_json=json)
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
            kind = SettingOrigin.Name(each.origin).removeprefix("SETTING_ORIGIN_").lower()
            found = Found(Origin(kind), each.source)
            option = Option(name=each.name, value=each.value, found=found)
            _add(table, "master", option, as_json=settings.json)
        if not settings.json:
            table.print()
        return Exit.DONE

    return with_client(settings, work)


COLUMNS = ("section", "option", "value", "from")


def _add(table: Table, section: str, option: Option, *, as_json: bool) -> None:
    found = option.found
    if as_json:
        facts = {"section": section, "name": option.name, "value": option.value}
        print_object(facts | {"origin": found.origin.value, "source": found.source})
        return
    origin = found.source or found.origin.value
    table.add(section, option.name.replace("_", "-"), option.value, origin)
