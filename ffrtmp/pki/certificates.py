"""The shape of our X.509 certificates: names, key usage, validity. No files here."""

import ipaddress
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ffrtmp.domain.identity import Peer, Role, is_name, peer_from_uri

Key = ec.EllipticCurvePrivateKey

# Machines disagree about the time by some minutes; a fresh certificate is to work on all of them.
CLOCK_SKEW: Final = timedelta(minutes=5)
_NO_USAGE: Final = {
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "encipher_only": False,
    "decipher_only": False,
}


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def certificate_to_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def bundle_to_pem(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(map(certificate_to_pem, certificates))


def issuer_in(
    bundle: Iterable[x509.Certificate], certificate: x509.Certificate
) -> x509.Certificate | None:
    """The one of a bundle that signed the certificate: two CAs of a cluster have the same name."""
    for authority in bundle:
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return authority
    return None


def sign_authority(key: Key, cluster: str, *, now: datetime, lifetime: timedelta) -> bytes:
    """A certificate that signs itself, and others one level below."""
    name = _common_name(f"{cluster} CA")
    builder = (
        _builder(name, name, key.public_key(), now, now + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(_uris(f"spiffe://{cluster}"), critical=False)
    )
    return certificate_to_pem(builder.sign(key, hashes.SHA256()))


def sign_member(
    peer: Peer,
    public_key: ec.EllipticCurvePublicKey,
    *,
    authority: x509.Certificate,
    authority_key: Key,
    hosts: Iterable[str],
    now: datetime,
    not_after: datetime,
) -> bytes:
    """Only a master may serve, under `hosts`; everybody else is a client and has no host names."""
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if peer.role is Role.MASTER:
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    signer = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(
            authority.subject, _common_name(f"{peer.role} {peer.name}"), public_key, now, not_after
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(_uris(peer.uri, hosts), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer), critical=False
        )
    )
    return certificate_to_pem(builder.sign(authority_key, hashes.SHA256()))


def cluster_of(authority: x509.Certificate) -> str | None:
    """The cluster that a CA of ours names; None for a foreign CA."""
    for uri in _names(authority, x509.UniformResourceIdentifier):
        cluster = uri.removeprefix("spiffe://")
        if uri.startswith("spiffe://") and is_name(cluster):
            return cluster
    return None


def peer_in(certificate: x509.Certificate) -> Peer | None:
    peers = [peer_from_uri(uri) for uri in _names(certificate, x509.UniformResourceIdentifier)]
    return peers[0] if len(peers) == 1 else None


def hosts_in(certificate: x509.Certificate) -> tuple[str, ...]:
    addresses = _names(certificate, x509.IPAddress)
    return (*_names(certificate, x509.DNSName), *addresses)


def _names(certificate: x509.Certificate, kind: type[x509.GeneralName]) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in names if isinstance(name, kind)]


def _builder(
    issuer: x509.Name,
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _common_name(text: str) -> x509.Name:
    # A common name holds 64 characters; nothing depends on it, the URI has the full names.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        **_NO_USAGE,
    )


def _uris(uri: str, hosts: Iterable[str] = ()) -> x509.SubjectAlternativeName:
    names = [_general_name(host) for host in hosts]
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), *names])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
