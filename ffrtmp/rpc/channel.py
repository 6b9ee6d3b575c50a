"""How both ends hold a connection: the gRPC arguments, opening a channel, saying why it failed.

Measured on grpcio 1.85: without `ping_timeout_ms` a silent peer is noticed only after 65 s and
more, whatever `keepalive_timeout_ms` says. With these it takes 10 to 20 s. The server's
`min_ping_interval_without_data_ms` is what permits the client's pings; the widely copied
`min_recv_ping_interval_without_data_ms` has no effect.
"""

from typing import Final

import grpc
from grpc import StatusCode

from ffrtmp.rpc.credentials import KeyPair, channel_credentials
from ffrtmp.rpc.status import error_from_rpc

LARGEST_MESSAGE_BYTES: Final = 1024 * 1024

_Options = tuple[tuple[str, int], ...]

_BOTH_SIDES: Final[_Options] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)
SERVER_OPTIONS: Final[_Options] = (
    *_BOTH_SIDES,
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES),
    # With the defaults, 3,000 streams opened at once lost hundreds of themselves.
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
    # Two masters must never share a port in silence: the second one is to fail at bind.
    ("grpc.so_reuseport", 0),
)
CHANNEL_OPTIONS: Final[_Options] = (
    *_BOTH_SIDES,
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
    # Otherwise the channels of one process to one address share a connection and its fate.
    ("grpc.use_local_subchannel_pool", 1),
)


def open_channel(address: str, identity: KeyPair) -> grpc.aio.Channel:
    """A channel to the master at `host:port`. It connects when first used; close it after use."""
    return grpc.aio.secure_channel(
        address, channel_credentials(identity), options=list(CHANNEL_OPTIONS)
    )


def explain_rpc_error(error: grpc.aio.AioRpcError, address: str) -> str:
    """One sentence for a person: why the master at `address` did not serve the call, what to do."""
    details = error.details() or ""
    match error.code():
        case StatusCode.UNAVAILABLE if error_from_rpc(error) is None:
            return _unreachable(details, address)
        case StatusCode.DEADLINE_EXCEEDED:
            return f"the master at {address} did not answer in time: is it overloaded or stopped?"
        case StatusCode.UNIMPLEMENTED:
            return f"what listens at {address} is no master, or an older one: {details}"
        case StatusCode.PERMISSION_DENIED:
            return f"the master at {address} does not allow this: {details}"
        case _:
            return details or f"the master at {address} answered {error.code().name}"


# What gRPC 1.85 writes into the details, most telling first.
_SIGNS: Final = (
    (
        "Hostname Verification Check failed",
        (
            "the master at {address} has a certificate that does not name this host: dial it by "
            "another name, or issue it again with `ffrtmp certs issue DIR master NAME --host HOST "
            "--renew`"
        ),
    ),
    (
        "certificate has expired",
        (
            "the certificate of the master at {address} has ended: renew it with "
            "`ffrtmp certs renew DIR master-NAME`; the master takes it without a restart"
        ),
    ),
    (
        "unsupported certificate purpose",
        "what listens at {address} has no master's certificate: is that the master's port?",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        (
            "the certificate of the master at {address} was made by another CA than yours: use one "
            "from the folder that the master's own was made in, or copy your folder anew: a CA was "
            "rolled"
        ),
    ),
    (
        "WRONG_VERSION_NUMBER",
        "what listens at {address} does not speak TLS: is that the master's gRPC port?",
    ),
    # TLS 1.3: the client is done before the server has judged its certificate, and hangs up.
    (
        "Socket closed",
        (
            "the master at {address} closed the connection: it was stopped, or it refused the "
            "certificate, which has ended or was made by another CA"
        ),
    ),
    (
        "errors resolving",
        "the name in {address} is not known: check the address of the master",
    ),
)


def is_distrust(error: grpc.aio.AioRpcError) -> bool:
    """Whether the other side's certificate is not good for us: dialling again will not help."""
    details = error.details() or ""
    return error.code() is StatusCode.UNAVAILABLE and (
        "CERTIFICATE_VERIFY_FAILED" in details or "Hostname Verification" in details
    )


def _unreachable(details: str, address: str) -> str:
    for sign, sentence in _SIGNS:
        if sign in details:
            return sentence.format(address=address)
    return f"no master answers at {address}: check that it runs and that this is its address"
