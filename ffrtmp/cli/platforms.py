"""Where ffrtmp runs, and the sentence for where it does not. Blocks nothing, asks nobody."""

import platform
from dataclasses import dataclass

from ffrtmp.cli.errors import UserError

GLIBC = (2, 28)
MACHINES = {"x86_64", "amd64", "aarch64", "arm64"}


@dataclass(frozen=True, slots=True)
class Platform:
    """`system` and `machine` as Python's `platform` names them; `libc` is empty where unknown."""

    system: str
    machine: str
    libc: str = ""
    libc_version: str = ""

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.system, self.machine, self.libc, self.libc_version)))


def here() -> Platform:
    """This machine."""
    return Platform(platform.system(), platform.machine(), *platform.libc_ver())


def why_no_cluster(at: Platform) -> str:
    """Why no master or worker runs there, nor `up`; empty when they do."""
    if at.system != "Linux":
        return (
            f"masters and workers run on Linux, this is {at.system}: they need Linux' boot-time "
            "clock, parent-death signals and exchange of files; give --master and --certs of a "
            "cluster elsewhere"
        )
    if at.machine.lower() not in MACHINES:
        return f"masters and workers run on x86-64 and arm64, this is {at.machine}"
    version = tuple(int(part) for part in at.libc_version.split(".")[:2] if part.isdigit())
    if at.libc != "glibc" or version < GLIBC:
        found = f"{at.libc} {at.libc_version}".strip() or "another C library (Alpine has musl)"
        return (
            f"masters and workers need glibc 2.28 or newer, this is {found}: "
            "use Debian 10, Ubuntu 20.04 or RHEL 8, or newer ones"
        )
    return ""


def require_cluster(at: Platform | None = None) -> None:
    """Raises UserError where no master or worker can run."""
    if sentence := why_no_cluster(at or here()):
        raise UserError(sentence)
