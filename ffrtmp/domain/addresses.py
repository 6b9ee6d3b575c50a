"""Addresses of masters, as people write several of them."""

from collections.abc import Iterable


def split_addresses(addresses: str | Iterable[str]) -> tuple[str, ...]:
    """One, several with commas between, or a sequence of either."""
    texts = (addresses,) if isinstance(addresses, str) else addresses
    return tuple(part.strip() for text in texts for part in text.split(",") if part.strip())
