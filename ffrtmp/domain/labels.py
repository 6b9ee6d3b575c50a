"""Labels: what an operator says of a worker, and what a job may ask for. A job's must all match."""

import re
from collections.abc import Iterable, Mapping

from ffrtmp.domain.errors import InvalidSpec

Labels = Mapping[str, str]

MOST_LABELS = 64
LONGEST = 63
RESERVED = "ffrtmp."
"""Keys that begin so are kept for what the cluster itself may one day say of a worker."""
ALPHABET = f"1 to {LONGEST} letters, digits, '.', '_' and '-', a letter or digit at both ends"
_WORD = re.compile(rf"[A-Za-z0-9]([A-Za-z0-9._-]{{0,{LONGEST - 2}}}[A-Za-z0-9])?")
_SHOWN = 80


def check_labels(labels: Labels, field: str) -> None:
    """Raises InvalidSpec for the first thing wrong, in the order of the keys."""
    if len(labels) > MOST_LABELS:
        raise InvalidSpec(field, len(labels), f"at most {MOST_LABELS} labels")
    for key, value in sorted(labels.items()):
        if not _WORD.fullmatch(key):
            raise InvalidSpec(field, _cut(key), f"a key has {ALPHABET}")
        if key.startswith(RESERVED):
            raise InvalidSpec(field, key, f"keys that begin with {RESERVED} are reserved")
        if not _WORD.fullmatch(value):
            raise InvalidSpec(f"{field}.{key}", _cut(value), f"a value has {ALPHABET}")


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def parse_labels(texts: Iterable[str], field: str) -> dict[str, str]:
    """Reads KEY=VALUE, also several with commas between. Raises InvalidSpec."""
    found: dict[str, str] = {}
    for text in (part for each in texts for part in each.split(",")):
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidSpec(field, _cut(text), "write KEY=VALUE, for example zone=eu")
        if key in found:
            raise InvalidSpec(field, _cut(text), f"{_cut(key)} is given twice")
        found[key] = value
    check_labels(found, field)
    return found


def written(labels: Labels) -> list[str]:
    """As `parse_labels` reads them, in the order of the keys."""
    return [f"{key}={value}" for key, value in sorted(labels.items())]


def lacks(needed: Labels, labels: Labels) -> str:
    """What is required of a worker with these labels and what it has instead; empty: it has all."""
    return "; ".join(
        f"{key}={value} is required, it has {_instead(key, labels)}"
        for key, value in sorted(needed.items())
        if labels.get(key) != value
    )


def _instead(key: str, labels: Labels) -> str:
    return f"{key}={labels[key]}" if key in labels else f"no label {key}"


def nobody_has(needed: Labels, workers: Iterable[Labels]) -> str:
    """Which of them no worker has, or that none has all; empty when one does."""
    fleet = list(workers)
    if any(not lacks(needed, each) for each in fleet):
        return ""
    missing = {
        key: value for key, value in needed.items() if all(w.get(key) != value for w in fleet)
    }
    if missing:
        return f"no connected worker has the label {' or '.join(written(missing))}"
    return f"no connected worker has all of the labels {', '.join(written(needed))}"
