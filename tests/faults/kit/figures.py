"""Figures that a master tells on its HTTP port."""

import asyncio
import re
import urllib.request
from collections.abc import Mapping

from tests.faults.kit.cluster import Master

_SAMPLE = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)
_BUCKET = re.compile(r'le="([^"]+)"')


async def scrape(master: Master) -> dict[str, float]:
    """By name and labels, as Prometheus sees them."""
    text = await asyncio.to_thread(_read, f"http://{master.http}/metrics")
    return {name: float(value) for name, value in _SAMPLE.findall(text)}


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def at_most(
    before: Mapping[str, float], after: Mapping[str, float], histogram: str, share: float
) -> float:
    """The bound of the bucket that holds this share of what was observed in between."""
    grown = sorted(
        (float(_bound(name)), after[name] - before.get(name, 0.0))
        for name in after
        if name.startswith(f"{histogram}_bucket")
    )
    total = grown[-1][1]
    return next(bound for bound, count in grown if count >= share * total)


def _bound(name: str) -> str:
    match = _BUCKET.search(name)
    assert match is not None
    return match[1]
