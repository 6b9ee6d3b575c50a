"""`ffrtmp top`: workers and jobs at a glance, once a second on a terminal, once elsewhere."""

import asyncio
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ffrtmp.cli.errors import Exit
from ffrtmp.cli.follow import print_object
from ffrtmp.cli.target import Target, require_target
from ffrtmp.cli.top_view import View, as_json, draw, look
from ffrtmp.client import Client, Unreachable
from ffrtmp.clock import utc_now
from ffrtmp.config import ClientSettings
from ffrtmp.domain.errors import Unavailable

REFRESH_SECONDS = 1.0
PATIENCE_SECONDS = 0.5
PIPED_WIDTH = 120


def top(*, settings: ClientSettings) -> int:
    target = require_target(settings)
    live = sys.stdout.isatty() and not settings.json
    asyncio.run(_live(target) if live else _once(target, as_object=settings.json))
    return Exit.DONE


async def _once(target: Target, *, as_object: bool) -> None:
    async with Client(target.address, target.certs) as client:
        view = await look(client)
    if as_object:
        print_object(as_json(view))
        return
    for line in draw(view, target.address, utc_now(), width=PIPED_WIDTH, height=None):
        print(line.plain.rstrip())


async def _live(target: Target) -> None:
    console = Console(highlight=False)
    async with Client(target.address, target.certs, patience=PATIENCE_SECONDS) as client:
        view = await look(client)  # what is wrong from the start is said on the plain terminal
        with _keys() as stop, Live(console=console, screen=True, auto_refresh=False) as screen:
            problem = ""
            while True:
                screen.update(_view(view, problem, target, console), refresh=True)
                if await _told(stop):
                    return
                try:
                    view, problem = await look(client), ""
                except (Unreachable, Unavailable) as error:
                    problem = str(error)


def _view(view: View, problem: str, target: Target, console: Console) -> Text:
    lines = draw(view, target.address, utc_now(), width=console.width, height=console.height)
    if problem:
        lines[0] = Text(problem, style="bold red")
        lines[0].truncate(console.width)
    return Text("\n").join(lines)


async def _told(stop: asyncio.Event) -> bool:
    """Waits until the next look is due, or it is time to stop."""
    try:
        async with asyncio.timeout(REFRESH_SECONDS):
            await stop.wait()
    except TimeoutError:
        return False
    return True


@contextmanager
def _keys() -> Iterator[asyncio.Event]:
    """Set by q or a signal. The terminal is put back as it was."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if not sys.stdin.isatty():
        yield stop
        return
    terminal = sys.stdin.fileno()

    def read() -> None:
        if sys.stdin.read(1) in {"q", "Q", ""}:
            stop.set()

    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    loop.add_reader(terminal, read)
    try:
        yield stop
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
