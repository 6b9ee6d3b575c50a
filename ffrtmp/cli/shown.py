"""How quantities are shown to people."""

from datetime import datetime, timedelta

SIZES = {"TiB": 1 << 40, "GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10}
SPANS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


_CONTROLS = dict.fromkeys((*range(9), *range(10, 32), *range(127, 160)), "�")


def show_line(text: str) -> str:
    """A line that a stranger's file may have had a part in: it cannot steer the terminal."""
    return text.translate(_CONTROLS)


def show_count(count: int, what: str) -> str:
    """`1 worker`, `2 workers`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def show_size(count: int) -> str:
    """Bytes: `17 B`, `1.5 MiB`, `203.0 GiB`."""
    for unit, size in SIZES.items():
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def show_span(span: timedelta) -> str:
    """The two largest units: `8 s`, `2 m 5 s`, `3 h 20 m`, `12 d 4 h`."""
    left = max(0, round(span.total_seconds()))
    counts: dict[str, int] = {}
    for unit, length in SPANS.items():
        counts[unit], left = divmod(left, length)
    units = list(SPANS)
    largest = next((number for number, unit in enumerate(units) if counts[unit]), len(units) - 1)
    shown = units[largest : largest + 2]
    return " ".join(f"{counts[unit]} {unit}" for unit in shown if counts[unit]) or "0 s"


def show_time(moment: datetime, now: datetime) -> str:
    """In this machine's time zone; the date only where it is another day."""
    here, today = moment.astimezone(), now.astimezone()
    return f"{here:%H:%M:%S}" if here.date() == today.date() else f"{here:%Y-%m-%d %H:%M:%S}"
