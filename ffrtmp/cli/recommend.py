"""`ffrtmp config`: settings that suit this machine, and what monitoring needs."""

import os
from importlib import resources
from typing import Annotated

from cyclopts import App, Parameter

from ffrtmp.cli.connect import with_client
from ffrtmp.cli.errors import Exit
from ffrtmp.cli.follow import print_object
from ffrtmp.cli.shown import show_size
from ffrtmp.cli.sources import offered, refuse
from ffrtmp.cli.table import Table
from ffrtmp.client import Client
from ffrtmp.config import SECTIONS, ClientSettings, Found, Option, Origin, config_file
from ffrtmp.v1.admin_service_pb2 import SettingOrigin
from ffrtmp.worker.room import recommended_slots, usable_cores, usable_memory

config = App(name="config", help="Files for this machine and for monitoring.", help_on_error=False)


@config.command
def recommend() -> None:
    """Print a configuration file for this hardware, to be looked at, completed and kept.

    Containers are taken at their limits, not at the size of the host.
    """
    cores, memory = usable_cores(), usable_memory()
    slots = recommended_slots(cores, memory)
    print(f"# For {cores:g} cores and {show_size(memory)} of memory on {os.uname().nodename}.")
    print(f"# Keep it as {config_file()}")
    print()
    print("[worker]")
    print("# One attempt for every two cores and 2 GiB: an encoder uses more than one core.")
    print(f"slots = {slots}")
    print()
    print("[up]")
    print("# One worker is enough on one machine; more only to try out what happens when one dies.")
    print("workers = 1")
    print(f"slots = {slots}")


@config.command
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


@config.command
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
    origin = found.source or ("" if found.origin is Origin.DEFAULT else found.origin.value)
    table.add(section, option.name.replace("_", "-"), option.value, origin or "default")


@config.command
def alerts() -> None:
    """Print alerting rules for Prometheus, which scrapes the masters as the job "ffrtmp"."""
    print(_packaged("alerts.yml"), end="")


@config.command
def dashboard() -> None:
    """Print a Grafana dashboard, to be imported."""
    print(_packaged("dashboard.json"), end="")


def _packaged(name: str) -> str:
    return (resources.files("ffrtmp.telemetry") / name).read_text()
