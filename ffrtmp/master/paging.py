"""Opaque page tokens: where the last page ended, bound to the filter it was made with."""

import base64
import hashlib
import json
from datetime import UTC, datetime

from ffrtmp.domain.errors import InvalidArgument, InvalidPageToken
from ffrtmp.store.records import JobFilter, PageKey

LARGEST_PAGE = 1000
DEFAULT_PAGE = 100


def page_size(asked: int) -> int:
    """Raises InvalidArgument. 0 is the default."""
    if not 0 <= asked <= LARGEST_PAGE:
        raise InvalidArgument("page_size", asked, f"1 to {LARGEST_PAGE}; 0 means {DEFAULT_PAGE}")
    return asked or DEFAULT_PAGE


def token_after(key: PageKey, wanted: JobFilter) -> str:
    parts = [key.submit_at.isoformat(), key.job_id, _mark(wanted)]
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def key_from(token: str, wanted: JobFilter) -> PageKey | None:
    """Raises InvalidPageToken when it is not one of ours, or of another filter."""
    if not token:
        return None
    try:
        submit_at, job_id, mark = json.loads(base64.urlsafe_b64decode(token.encode()))
        key = PageKey(datetime.fromisoformat(submit_at).astimezone(UTC), str(job_id))
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise InvalidPageToken("page_token", token[:40], "use next_page_token as given") from None
    if mark != _mark(wanted):
        raise InvalidPageToken("page_token", token[:40], "it belongs to another filter")
    return key


def _mark(wanted: JobFilter) -> str:
    text = repr((sorted(wanted.states), wanted.worker))
    text += repr((wanted.submitted_after, wanted.submitted_before))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
