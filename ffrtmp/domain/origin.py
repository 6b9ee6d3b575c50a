"""Where the value of an option came from."""

from enum import StrEnum


class Origin(StrEnum):
    """The first that has a value wins."""

    FLAG = "flag"
    VARIABLE = "variable"
    FILE = "file"
    DEFAULT = "default"
