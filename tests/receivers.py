"""Real receivers for live pushes: FFmpeg behind a gate that logs publishers, and bad servers."""

import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import imageio_ffmpeg
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.ports import free_port

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
PACKETS = re.compile(r"frame=\s*(\d+)")


def is_bound(port: int, table: str) -> bool:
    return f":{port:04X} " in Path(f"/proc/net/{table}").read_text()


def receiver(url: str, *options: str, port: int, table: str, log: Path) -> subprocess.Popen:
    """An FFmpeg that listens, once it does. It writes what it got to `log`."""
    muxer = "flv" if url.startswith("rtmp") else "mpegts"
    argv = [FFMPEG, "-nostdin", "-hide_banner", *options, "-f", muxer, "-i", url]
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*argv, "-c", "copy", "-f", "null", "-"], stdin=subprocess.DEVNULL, stderr=file
        )
    while not is_bound(port, table) and process.poll() is None:
        time.sleep(0.01)
    return process


@dataclass
class Publisher:
    """One connection: from the first byte's arrival to the end of what its client sends."""

    began: float
    ended: float | None = None


@dataclass
class Gate:
    """An RTMP server: relays each publisher to an FFmpeg of its own, and keeps the log of them."""

    folder: Path
    path: str = "live/key"
    tls: ssl.SSLContext | None = None
    publishers: list[Publisher] = field(default_factory=list)
    distrusted: list[str] = field(default_factory=list)
    _receivers: list[subprocess.Popen] = field(default_factory=list)
    _sockets: list[socket.socket] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread(self._accept)

    @property
    def url(self) -> str:
        scheme = "rtmp" if self.tls is None else "rtmps"
        return f"{scheme}://127.0.0.1:{self.port}/{self.path}"

    @property
    def log(self) -> str:
        logs = sorted(self.folder.glob("receiver-*.log"))
        return "".join(log.read_text(errors="replace") for log in logs)

    @property
    def frames(self) -> list[int]:
        """That each publisher brought, in order."""
        logs = sorted(self.folder.glob("receiver-*.log"))
        found = [PACKETS.findall(log.read_text(errors="replace")) for log in logs]
        return [int(counts[-1]) if counts else 0 for counts in found]

    def on_air(self) -> bool:
        return bool(self.publishers) and self.publishers[-1].ended is None

    def receives(self) -> bool:
        """Media from the newest publisher."""
        log = self.folder / f"receiver-{len(self.publishers):03}.log"
        return self.on_air() and log.exists() and "Stream #0:0" in log.read_text(errors="replace")

    def overlaps(self) -> list[tuple[Publisher, Publisher]]:
        pairs = zip(self.publishers, self.publishers[1:], strict=False)
        return [(a, b) for a, b in pairs if a.ended is None or b.began < a.ended]

    def stop_reading(self) -> None:
        self._flows.clear()

    def hang_up(self) -> None:
        """On whoever is connected now."""
        for each in self._sockets:
            with suppressed():
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Nothing of it is left: no thread, no socket, no process."""
        self._flows.set()
        with suppressed():
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits for a client
        self._threads[0].join()
        for process in self._receivers:
            process.kill()
            process.wait()
        self.hang_up()
        for thread in self._threads[1:]:
            thread.join()
        for each in (self._listener, *self._sockets):
            each.close()

    def _thread(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.tls is not None:
                try:
                    client = self.tls.wrap_socket(client, server_side=True)
                except ssl.SSLError as error:
                    self.distrusted.append(str(error))
                    client.close()
                    continue
            publisher = Publisher(time.monotonic())
            self.publishers.append(publisher)
            server = self._receive()
            self._sockets += [client, server]
            for a, b, end in ((client, server, publisher), (server, client, None)):
                self._thread(self._relay, a, b, end)

    def _receive(self) -> socket.socket:
        """To an FFmpeg of its own for the newest publisher: to another one when its port was taken
        by somebody else, between being found free and being listened on."""
        log = self.folder / f"receiver-{len(self.publishers):03}.log"
        while True:
            port = free_port()
            url = f"rtmp://127.0.0.1:{port}/{self.path}"
            self._receivers.append(receiver(url, "-listen", "1", port=port, table="tcp", log=log))
            with suppressed():
                return socket.create_connection(("127.0.0.1", port))

    def _relay(self, a: socket.socket, b: socket.socket, publisher: Publisher | None) -> None:
        with suppressed():
            while True:
                self._flows.wait()
                chunk = a.recv(1 << 16)
                self._flows.wait()
                if not chunk:
                    break
                b.sendall(chunk)
        if publisher is not None:
            publisher.ended = time.monotonic()
        for each in (a, b):
            with suppressed():
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def suppressed() -> Iterator[None]:
    try:
        yield
    except OSError:
        return


@contextmanager
def gate(folder: Path, path: str = "live/key", tls: ssl.SSLContext | None = None) -> Iterator[Gate]:
    opened = Gate(folder, path, tls)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def tcp_server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Gives each connection to `serve`; yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def accept() -> None:
        with suppressed():
            while True:
                held.append(listener.accept()[0])
                serve(held[-1])

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for each in (listener, *held):
            each.close()


@contextmanager
def srt_receiver(folder: Path, query: str = "") -> Iterator[tuple[int, subprocess.Popen]]:
    port = free_port(socket.SOCK_DGRAM)
    url = f"srt://127.0.0.1:{port}?mode=listener{query}"
    process = receiver(url, port=port, table="udp", log=folder / "srt.log")
    try:
        yield port, process
    finally:
        process.kill()
        process.wait()


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context for 127.0.0.1, and the certificate by which it is believed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(IPv4Address("127.0.0.1"))
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path, secret = folder / "server.pem", folder / "server.key"
    path.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, secret)
    return context, path
