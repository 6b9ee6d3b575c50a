"""What a child writes to its standard error: the last lines of it, safe to show."""

from collections import deque
from collections.abc import Callable

from ffrtmp.domain.log import KEPT_LINES, LINE_BYTES

RAW_LINE_BYTES = 2 * LINE_BYTES  # more than is kept, so that a line is cut after it was redacted


def printable(text: str) -> str:
    """Without what a terminal would obey, or would show as something else than it is: the line may
    repeat what a stranger wrote into a file."""
    return "".join(c if c.isprintable() else " " if c == "\t" else "?" for c in text)


class Tail:
    """The last lines of a stream of any length and any bytes. `redact` gets each first; `hear` gets
    what is kept."""

    def __init__(
        self,
        redact: Callable[[str], str] = str,
        hear: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._redact = redact
        self._hear = hear
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._open = b""

    def feed(self, chunk: bytes) -> None:
        *lines, rest = chunk.replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._close(line)
        self._open = (self._open + rest)[:RAW_LINE_BYTES]

    def _close(self, end: bytes) -> None:
        raw = (self._open + end)[:RAW_LINE_BYTES].decode(errors="replace")
        line = printable(self._redact(raw)).encode()[:LINE_BYTES].decode(errors="replace").rstrip()
        self._open = b""
        if line:
            self._lines.append(line)
            self._hear(line)

    def lines(self) -> tuple[str, ...]:
        """So far, the unfinished line included."""
        self._close(b"")
        return tuple(self._lines)
