"""Real receivers for live pushes: FFmpeg behind a gate that logs publishers, and bad servers."""

import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import imageio_ffmpeg

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
PACKETS = re.compile(r"frame=\s*(\d+)")


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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
    publishers: list[Publisher] = field(default_factory=list)
    _receivers: list[subprocess.Popen] = field(default_factory=list)
    _sockets: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"rtmp://127.0.0.1:{self.port}/{self.path}"

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
        self._listener.close()
        self._flows.set()
        self.hang_up()
        for process in self._receivers:
            process.kill()
            process.wait()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            publisher = Publisher(time.monotonic())
            self.publishers.append(publisher)
            port = free_port()
            log = self.folder / f"receiver-{len(self.publishers):03}.log"
            url = f"rtmp://127.0.0.1:{port}/{self.path}"
            self._receivers.append(receiver(url, "-listen", "1", port=port, table="tcp", log=log))
            server = socket.create_connection(("127.0.0.1", port))
            self._sockets += [client, server]
            for a, b, end in ((client, server, publisher), (server, client, None)):
                threading.Thread(target=self._relay, args=(a, b, end), daemon=True).start()

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
def gate(folder: Path, path: str = "live/key") -> Iterator[Gate]:
    opened = Gate(folder, path)
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

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        for each in held:
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
