"""mTLS on both ends: no certificate signed by the cluster's own CA, no connection."""

from collections.abc import Callable
from typing import Protocol

import grpc


class KeyPair(Protocol):
    """What TLS needs; `pki.Identity` is one."""

    @property
    def ca_pem(self) -> bytes: ...
    @property
    def certificate_pem(self) -> bytes: ...
    @property
    def key_pem(self) -> bytes: ...


def server_credentials(
    identity: KeyPair, reload: Callable[[], KeyPair | None] = lambda: None
) -> grpc.ServerCredentials:
    """Credentials that demand a client certificate.

    `reload` is called before every handshake, on a thread of gRPC; it returns the pair to use from
    now on, or None while nothing has changed. It must be quick and must not raise.
    """

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        renewed = reload()
        return None if renewed is None else _configuration(renewed)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(identity),
        fetch,  # type: ignore[arg-type]  # None is allowed: "nothing has changed"
        require_client_authentication=True,
    )


def channel_credentials(identity: KeyPair) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=identity.ca_pem,
        private_key=identity.key_pem,
        certificate_chain=identity.certificate_pem,
    )


def _configuration(identity: KeyPair) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(identity.key_pem, identity.certificate_pem)], root_certificates=identity.ca_pem
    )
