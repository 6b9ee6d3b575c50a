"""`ffrtmp presets`: its options."""

from typing import Annotated

from cyclopts import Parameter


def presets(
    name: Annotated[str, Parameter(name="NAME")] = "",
    /,
    *,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Show what each preset expands to. Options of a job on top of its preset win.

    Parameters
    ----------
    name
        Only those that begin so, for example 1080p30. Default: all without a frame rate.
    json
        Print one object a line, names as in the protos.
    """
    from ffrtmp.cli import presets as work

    return work.presets(name, json=json)
