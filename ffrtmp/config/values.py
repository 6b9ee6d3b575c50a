"""Settings that are more than a number or a word: addresses, roots, retention; read and checked."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from ffrtmp.config.errors import SettingError
from ffrtmp.config.units import parse_duration
from ffrtmp.domain.errors import InvalidArgument
from ffrtmp.domain.labels import parse_labels
from ffrtmp.domain.retention import Retention

HIGHEST_PORT = 65535
_COUNT = re.compile(r"[0-9]{1,15}")
KEEP_HINT = "write a time, 30d, a number of jobs, 100000, both, 30d,100000, or forever"


def parse_retention(text: str) -> Retention:
    """Reads `30d`, `100000`, `30d,100000`, `forever`. Raises SettingError."""
    kept: dict[str, Any] = {}
    for part in text.split(",") if text != "forever" else ():
        word = part.strip()
        name, value = ("count", int(word)) if _COUNT.fullmatch(word) else ("age", _age(word))
        if name in kept:
            raise SettingError.of("keep_finished", text, KEEP_HINT)
        kept[name] = value
    return Retention(**kept)


def _age(word: str) -> timedelta:
    try:
        return parse_duration(word)
    except ValueError:
        raise SettingError.of("keep_finished", word, KEEP_HINT) from None


def parse_roots(roots: tuple[str, ...]) -> dict[str, Path]:
    """Reads NAME=DIR, also several with commas between. Raises SettingError."""
    found: dict[str, Path] = {}
    for text in (part for root in roots for part in root.split(",")):
        name, equals, folder = text.partition("=")
        if not equals or not folder or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise SettingError.of("root", text, "write NAME=DIR, for example media=/mnt/media")
        if name in found:
            raise SettingError.of("root", text, f"{name} is given twice")
        found[name] = Path(folder).expanduser().absolute()
    return found


def labels_of(label: tuple[str, ...]) -> dict[str, str]:
    """Reads KEY=VALUE, also several with commas between. Raises SettingError."""
    try:
        return parse_labels(label, "label")
    except InvalidArgument as error:
        setting = SettingError(str(error))
        setting.option = "label"
        raise setting from None


def check_address(name: str, address: str) -> None:
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > HIGHEST_PORT:
        raise SettingError.of(name, address, "write HOST:PORT, for example 127.0.0.1:7443")


def check_addresses(addresses: tuple[str, ...]) -> None:
    if not addresses:
        raise SettingError.of("master", "", "write HOST:PORT, for example 127.0.0.1:7443")
    for address in addresses:
        check_address("master", address)


def check_log_format(value: str) -> None:
    if value not in {"text", "json"}:
        raise SettingError.of("log_format", value, "text or json")
