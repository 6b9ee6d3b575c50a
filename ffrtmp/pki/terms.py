"""What people say of certificates and authorities; without what makes them."""

from datetime import timedelta
from enum import StrEnum
from typing import Final

DEFAULT_CLUSTER: Final = "ffrtmp"
DEFAULT_LIFETIME: Final = timedelta(days=365)


class Step(StrEnum):
    """Of a rollover: see `rollover`."""

    BEGIN = "begin"
    ISSUE = "issue"
    FINISH = "finish"
