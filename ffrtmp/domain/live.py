"""Live targets: the URLs a job may push to, what makes one valid, and how one is shown.

A URL carries the stream key, which is a password. The specs table, the offer to the worker and the
command line of FFmpeg have it, because they must. Everything else, errors about the URL included,
gets `shown`, or is passed through `mask`: this module is the only place that hides a secret.

FFmpeg reads a URL in its own way. What could mean one thing here and another there (control
characters, blanks, names and passwords before the host, fragments, options of the protocol that
make it listen or open something else) is therefore refused.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address
from types import MappingProxyType
from urllib.parse import quote, unquote

from ffrtmp.domain.errors import InvalidSpec

MAX_URL = 1024
HIDDEN = "***"
DEFAULT_PORTS: Mapping[str, int] = MappingProxyType({"rtmp": 1935, "rtmps": 443})
SCHEMES = ("rtmp", "rtmps", "srt")
HIGHEST_PORT = 65535
APP_AND_KEY = 2
WHOLE_WORDS_BELOW = 4

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\]")
_PATH = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=:@/-]*")
_QUERY = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=:@/?-]*")
_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:[?#](.*))?", re.DOTALL)
_PORT = re.compile(r"[1-9][0-9]{0,4}")

_NUMBER = r"[0-9]{1,12}"
SRT_OPTIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "mode": ("caller", "a push calls the server: caller"),
        "streamid": (r"[^+]{1,512}", "1 to 512 characters; write + as %2B, FFmpeg reads a blank"),
        "passphrase": (r"[^+]{10,79}", "10 to 79 characters, none of them +"),
        "pbkeylen": ("16|24|32", "16, 24 or 32"),
        "latency": (_NUMBER, "a number of microseconds"),
        "peerlatency": (_NUMBER, "a number of microseconds"),
        "maxbw": (_NUMBER, "a number of bytes a second"),
        "inputbw": (_NUMBER, "a number of bytes a second"),
        "oheadbw": ("[1-9][0-9]?|100", "1 to 100 percent"),
        "pkt_size": ("188|376|564|752|940|1128|1316", "1316, or fewer packets of 188 bytes"),
    }
)
"""What may stand in the query of an SRT URL, and what is right. The others would let it listen,
change its kind or reach beyond the stream."""
SRT_SECRETS = frozenset({"streamid", "passphrase"})


@dataclass(frozen=True, slots=True)
class LiveTarget:
    """A server that is pushed to. Whoever has the same `str` writes to the same place.

    `str` is fit to be shown and stored: the key is in it as a hash only.
    """

    url: str = field(repr=False)

    def __str__(self) -> str:
        place = _place(self.url)
        return f"{shown(place)}#{hashlib.sha256(place.encode()).hexdigest()[:32]}"


def is_url(text: str) -> bool:
    """Whether a person meant a URL, valid or not, rather than ROOT:PATH or a local file."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def scheme_of(url: str) -> str:
    return url.partition("://")[0].lower()


def check_url(url: str, name: str) -> None:
    """Raises InvalidSpec, which names the field `name` and shows no secret."""
    if len(url) > MAX_URL:
        raise InvalidSpec(name, f"{shown(url)[:40]}...", f"at most {MAX_URL} characters")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidSpec(name, shown(url), "a URL has printable ASCII characters and no blanks")
    scheme, authority, path, query = _split(url)
    if not url.startswith(tuple(f"{known}://" for known in SCHEMES)):
        kinds = ", ".join(f"{known}://" for known in SCHEMES)
        raise InvalidSpec(name, shown(url), f"a push goes to {kinds}")
    _check_authority(url, scheme, authority, name)
    if not _PATH.fullmatch(path) or not _QUERY.fullmatch(query or "") or "#" in url:
        raise InvalidSpec(name, shown(url), "write other characters in %XX form; no fragment (#)")
    if scheme == "srt":
        _check_srt(url, path, query, name)
    elif _app_and_key(path) is None:
        raise InvalidSpec(name, shown(url), f"write it as {scheme}://HOST/APP/KEY")


def _split(url: str) -> tuple[str, str, str, str | None]:
    """Scheme, authority, path and query; empty where it is no URL at all."""
    match = _PARTS.fullmatch(url)
    if match is None:
        return "", "", "", None
    return match[1].lower(), match[2], match[3], match[4]


def _host_and_port(authority: str) -> tuple[str, str | None]:
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        return authority, None
    return host, port


def _check_authority(url: str, scheme: str, authority: str, name: str) -> None:
    host, port = _host_and_port(authority)
    if "@" in authority:
        raise InvalidSpec(name, shown(url), "no name or password before the host")
    if not _HOST.fullmatch(host) or not _is_address(host):
        raise InvalidSpec(name, shown(url), "name a host, or an IPv6 address in brackets")
    if port is None and scheme not in DEFAULT_PORTS:
        raise InvalidSpec(name, shown(url), f"{scheme} has no usual port: write HOST:PORT")
    if port is not None and not (_PORT.fullmatch(port) and int(port) <= HIGHEST_PORT):
        raise InvalidSpec(name, shown(url), f"a port is 1 to {HIGHEST_PORT}")


def _is_address(host: str) -> bool:
    if not host.startswith("["):
        return True
    try:
        IPv6Address(host[1:-1])
    except AddressValueError:
        return False
    return True


def _check_srt(url: str, path: str, query: str | None, name: str) -> None:
    if path not in {"", "/"}:
        raise InvalidSpec(name, shown(url), "srt has no path: the stream's name is its streamid")
    seen = set()
    for option, value in _options(query):
        if option not in SRT_OPTIONS:
            known = ", ".join(SRT_OPTIONS)
            raise InvalidSpec(name, shown(url), f"the options of srt are {known}")
        pattern, right = SRT_OPTIONS[option]
        if not re.fullmatch(pattern, value):
            raise InvalidSpec(name, shown(url), f"{option}: {right}")
        if option in seen:
            raise InvalidSpec(name, shown(url), f"{option} is given twice")
        seen.add(option)


def _options(query: str | None) -> list[tuple[str, str]]:
    pairs = [part.partition("=") for part in query.split("&")] if query else []
    return [(option, value) for option, _, value in pairs]


def _app_and_key(path: str) -> tuple[str, str] | None:
    """As FFmpeg divides it: a third part makes the second an instance of the application, unless it
    names a file (`mp4:...`). None where one of the two is missing."""
    parts = path.split("/")[1:]
    if len(parts) < APP_AND_KEY or not all(parts):
        return None
    apps = 2 if len(parts) > APP_AND_KEY and ":" not in parts[1] else 1
    return "/".join(parts[:apps]), "/".join(parts[apps:])


def _place(url: str) -> str:
    """The same for two URLs of one stream: the case and the usual port of the host, and how SRT is
    tuned, make no difference; the key does."""
    scheme, authority, path, query = _split(url)
    host, port = _host_and_port(authority.lower())
    if host.startswith("[") and _is_address(host):
        host = f"[{IPv6Address(host[1:-1]).compressed}]"
    port = port or str(DEFAULT_PORTS.get(scheme, ""))
    if scheme == "srt":
        stream = unquote(dict(_options(query)).get("streamid", ""))
        return f"srt://{host}:{port}" + (f"?streamid={quote(stream, safe='')}" if stream else "")
    return f"{scheme}://{host}:{port}{path}" + (f"?{query}" if query else "")


# -- secrets --------------------------------------------------------------------------------


def shown(url: str) -> str:
    """The URL without its key, for everything that people and programs may read.

    Takes any text, a URL that was refused or one that was shown before included: of what is not
    understood nothing is shown but the scheme.
    """
    scheme, authority, path, query = _split(url)
    host, port = _host_and_port(authority)
    clear = all((_HOST.fullmatch(host), _PATH.fullmatch(path), _QUERY.fullmatch(query or "")))
    clear = clear and (port is None or port.isdecimal())
    if scheme not in SCHEMES or not clear or "#" in url:
        return f"{scheme}://{HIDDEN}" if scheme else HIDDEN
    if scheme == "srt":
        options = "&".join(map(_shown_option, query.split("&"))) if query else ""
        return f"{scheme}://{authority}" + (f"?{options}" if options else "")
    app_and_key = _app_and_key(path)
    app = f"{app_and_key[0]}/" if app_and_key else ""
    return f"{scheme}://{authority}/{app}{HIDDEN}"


def _shown_option(part: str) -> str:
    option, equals, value = part.partition("=")
    if option in SRT_OPTIONS and option not in SRT_SECRETS and value:
        return part
    return f"{option}={HIDDEN}" if equals and option in SRT_SECRETS else HIDDEN


def mask(text: str, url: str) -> str:
    """The text without the URL's secrets, in whatever form a program repeats them."""
    text = text.replace(url, shown(url))
    for secret in _secrets(url):
        if len(secret) < WHOLE_WORDS_BELOW:  # a key "a" is not every a
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", HIDDEN, text)
        else:
            text = text.replace(secret, HIDDEN)
    return text


def _secrets(url: str) -> list[str]:
    """The longest first, so that no part of one is left of another."""
    scheme, _, path, query = _split(url)
    if scheme == "srt":
        found = {value for option, value in _options(query) if option in SRT_SECRETS}
    else:
        _, key = _app_and_key(path) or ("", path)
        values = {value for _, value in _options(query) if len(value) >= WHOLE_WORDS_BELOW}
        found = {key, key.rpartition("/")[2], query or "", *values}
    found |= {unquote(secret) for secret in found}
    return sorted(found - {"", HIDDEN}, key=len, reverse=True)
