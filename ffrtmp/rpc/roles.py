"""Who may call what: the one table from service to roles, and the peer behind a call.

What is not in the table is refused, so a service that somebody adds and forgets here is closed.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import grpc
from cryptography import x509

from ffrtmp.domain.errors import CertificateEnded, NotAllowed
from ffrtmp.domain.identity import Peer, Role, peer_from_uri

_EVERYBODY: Final = frozenset(Role)

ROLES_OF: Final[Mapping[str, frozenset[Role]]] = MappingProxyType(
    {
        "ffrtmp.v1.JobService": frozenset({Role.CLIENT, Role.ADMIN}),
        "ffrtmp.v1.WorkerService": frozenset({Role.WORKER}),
        "ffrtmp.v1.AdminService": frozenset({Role.ADMIN}),
        "grpc.health.v1.Health": _EVERYBODY,
        "grpc.reflection.v1.ServerReflection": _EVERYBODY,
        "grpc.reflection.v1alpha.ServerReflection": _EVERYBODY,
    }
)

Context = grpc.aio.ServicerContext[Any, Any]


def peer_of(context: Context) -> Peer:
    """The caller, as its certificate names it. Raises NotAllowed for one that names nobody."""
    # gRPC sets this property when exactly one URI name of the certificate is a spiffe one.
    uris = [
        uri.decode(errors="replace") for uri in context.auth_context().get("peer_spiffe_id", ())
    ]
    peers = [peer for uri in uris if (peer := peer_from_uri(uri)) is not None]
    if len(peers) != 1:
        raise NotAllowed(
            "the certificate does not name a member of a cluster (spiffe://CLUSTER/ROLE/NAME): "
            "make one with `ffrtmp certs issue`"
        )
    return peers[0]


def certificate_end_of(context: Context) -> datetime:
    """When the certificate ends that the connection was opened with. A connection may outlive it:
    TLS looks at the time only once."""
    [pem] = context.auth_context()["x509_pem_cert"]
    return _end_of(pem)


@lru_cache(maxsize=4096)
def _end_of(pem: bytes) -> datetime:
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def refuse_ended(peer: Peer, context: Context, *, now: datetime) -> None:
    """Raises CertificateEnded."""
    if certificate_end_of(context) <= now:
        raise CertificateEnded(peer.actor)


def authorise(peer: Peer, method: str, *, cluster: str) -> None:
    """`method` is `/package.Service/Method`. Raises NotAllowed, naming the roles that would do."""
    if peer.cluster != cluster:
        raise NotAllowed(f"this is cluster {cluster!r}: the certificate is for {peer.cluster!r}")
    service, _, rpc = method.removeprefix("/").rpartition("/")
    allowed = ROLES_OF.get(service, frozenset())
    if peer.role not in allowed:
        wanted = " or ".join(sorted(allowed)) or "nobody"
        raise NotAllowed(f"{rpc} is for the role {wanted}: the certificate is of {peer.actor}")
