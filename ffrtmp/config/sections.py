"""Which options there are: a section of the TOML file each, and what each option is in effect."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from ffrtmp.config.local import SimulateSettings, UpSettings
from ffrtmp.config.settings import ClientSettings, MasterSettings, WorkerSettings
from ffrtmp.config.units import show_duration
from ffrtmp.domain.origin import Origin

Settings = MasterSettings | WorkerSettings | ClientSettings | UpSettings | SimulateSettings
SECTIONS: Mapping[str, type[Settings]] = {
    "master": MasterSettings,
    "worker": WorkerSettings,
    "client": ClientSettings,
    "up": UpSettings,
    "simulate": SimulateSettings,
}
"""Sections of the TOML file."""


@dataclass(frozen=True, slots=True)
class Found:
    """`source`: the variable, or the file."""

    origin: Origin
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option as it is in effect. `value` as it is written in the file, without a password."""

    name: str
    value: str
    found: Found


def options_of(settings: Settings, found: Mapping[str, Found]) -> list[Option]:
    """In the order of the documentation. `found`: where each came from that is no default."""
    return [
        Option(
            name=each.name,
            value=_written(each.name, getattr(settings, each.name)),
            found=found.get(each.name, Found(Origin.DEFAULT)),
        )
        for each in fields(settings)
    ]


def _written(name: str, value: object) -> str:
    if isinstance(value, timedelta):
        return show_duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    text = "" if value is None else str(value)
    return shown_store(text) if name == "store" else text


def written_default(option: Any) -> str:
    """Of a dataclass field."""
    return "required" if option.default is MISSING else _written(option.name, option.default)


def shown_store(store: str) -> str:
    """Without a password, and without parameters, which may hold one too."""
    if "://" not in store:
        return store
    parts = urlsplit(store)
    user, at, host = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{user.partition(':')[0]}{at}{host}{parts.path}"
