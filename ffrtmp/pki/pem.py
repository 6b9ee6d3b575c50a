"""Reading PEM files: each thing that can be wrong with one is a sentence."""

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ffrtmp.pki.certificates import Key
from ffrtmp.pki.errors import PkiError


def is_there(path: Path) -> bool:
    """Unlike Path.exists, a sentence when the folder above may not be searched."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise PkiError(
            f"cannot look at {path}: {error.strerror}; run this as the user who owns it"
        ) from None
    return True


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise PkiError(
            f"{path} is missing: an identity folder holds ca.pem, tls.pem and tls.key; "
            "make one with `ffrtmp certs issue`"
        ) from None
    except OSError as error:
        raise PkiError(f"cannot read {path}: {error.strerror}") from None


def read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(read_bytes(path))
    except ValueError:
        raise PkiError(f"{path} is not a PEM certificate: issue it again") from None


def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """Of a bundle: one or more."""
    try:
        return tuple(x509.load_pem_x509_certificates(read_bytes(path)))
    except ValueError:
        raise PkiError(f"{path} is not a PEM certificate: issue it again") from None


def read_key(path: Path) -> Key:
    try:
        key = load_pem_private_key(read_bytes(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise PkiError(f"{path} is not a PEM key without password: issue it again") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PkiError(f"{path} is not an elliptic-curve key: issue it again")
    return key


def same_key(certificate: x509.Certificate, key: Key) -> bool:
    return certificate.public_key() == key.public_key()
