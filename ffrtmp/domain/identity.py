"""Who may be who: the name that a certificate carries, `spiffe://<cluster>/<role>/<name>`."""

import re
from dataclasses import dataclass
from enum import StrEnum

NAME_RULE = "1 to 63 lower-case letters, digits and inner hyphens, such as 'encoder-1'"

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SCHEME = "spiffe://"


class Role(StrEnum):
    MASTER = "master"
    WORKER = "worker"
    CLIENT = "client"
    ADMIN = "admin"


def is_name(text: str) -> bool:
    """The rule for names of clusters and of their members; it suits file, host and URI names."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Peer:
    """A member of a cluster, as its certificate names it."""

    cluster: str
    role: Role
    name: str

    def __str__(self) -> str:
        return f"{self.role} {self.name!r} of cluster {self.cluster!r}"

    @property
    def actor(self) -> str:
        """As a job's events name it: `client/ann`."""
        return f"{self.role}/{self.name}"

    @property
    def uri(self) -> str:
        return f"{_SCHEME}{self.cluster}/{self.role}/{self.name}"


def peer_from_uri(uri: str) -> Peer | None:
    """None for a URI that is not one of ours; never an exception: the text is a stranger's."""
    cluster, *rest = uri.removeprefix(_SCHEME).split("/")
    if not uri.startswith(_SCHEME) or len(rest) != len(("role", "name")):
        return None
    role, name = rest
    if role not in set(Role) or not is_name(cluster) or not is_name(name):
        return None
    return Peer(cluster, Role(role), name)
