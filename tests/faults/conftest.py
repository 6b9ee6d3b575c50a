"""Rows of the fault matrix: a test is named by the ID of its row, `test_w1_...`; its docstring is
the row's sentence. What came out is kept for `scripts/fault_table`."""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

import pytest

from ffrtmp.clock import utc_now
from ffrtmp.pki import authority
from tests.faults.kit.cluster import Cluster, Site, paced_ffmpeg, running
from tests.faults.kit.database import Database, Databases
from tests.faults.kit.record import Row, row_id
from tests.faults.kit.stores import StoreUnderTest

WORKERS = ("w1", "w2", "w3", "w4", "w5")
HOSTS = ("127.0.0.1", "127.0.0.2", "localhost", "master.test")
HERE = Path(__file__).parent
LOG_BYTES = 4000
ROW = pytest.StashKey[Row]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.faults)


@pytest.fixture(scope="session")
def certs(tmp_path_factory) -> Path:
    """Good since two days ago: some of these processes live in the past."""
    folder = tmp_path_factory.mktemp("certs")
    then = utc_now() - timedelta(days=2)
    authority.init(folder, now=then)
    names = [("worker", name) for name in WORKERS]
    authority.issue(folder, "master", "m1", now=then, hosts=HOSTS)
    for role, name in [("admin", "me"), ("client", "c"), *names]:
        authority.issue(folder, role, name, now=then)
    return folder


@pytest.fixture(scope="session")
def site(certs, tmp_path_factory, request) -> Site:
    folder = tmp_path_factory.mktemp("site")
    cache = request.config.cache.mkdir("faults-cache")
    return Site(certs=certs, ffmpeg=paced_ffmpeg(folder), cache=Path(cache))


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """Servers that their tests may kill."""
    made = Databases()
    yield made
    made.close()


@pytest.fixture
def database(databases) -> Iterator[Database]:
    """A server of this test's own."""
    database = databases.make()
    yield database
    database.close()


@pytest.fixture
def store(store_address) -> StoreUnderTest:
    """Each row runs on both stores, unless it is about one of them."""
    return StoreUnderTest(store_address)


@pytest.fixture
def row(request, store) -> Row:
    """What is known of this row so far; the test adds its measurements."""
    name = request.node.originalname
    sentence = inspect.cleandoc(request.function.__doc__ or "")
    found = Row(row_id(name), request.node.name, store.name, " ".join(sentence.split()))
    request.node.stash[ROW] = found
    return found


@pytest.fixture
def cluster_of(tmp_path, site, store) -> Callable[..., AbstractAsyncContextManager[Cluster]]:
    """Runs a cluster; its arguments are further options of the master."""
    return lambda *options, **named: running(tmp_path / "cluster", site, store, *options, **named)


@pytest.fixture
def cluster_on(tmp_path, site) -> Callable[..., AbstractAsyncContextManager[Cluster]]:
    """Runs a cluster on a database of the test's own; for rows that take no other store."""
    return lambda dsn, *options, **named: running(
        tmp_path / "cluster", site, StoreUnderTest(dsn), *options, **named
    )


@pytest.fixture
async def cluster(tmp_path, site, store) -> AsyncIterator[Cluster]:
    async with running(tmp_path / "cluster", site, store) as each:
        yield each


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    row = item.stash.get(ROW, None)
    if row is not None and (call.when == "call" or report.outcome != "passed"):
        row.result = report.outcome
        row.write(Path(item.config.cache.mkdir("faults")))
        report.user_properties.append(("fault row", row.line))
    if row is not None and report.failed:
        for log in sorted(item.funcargs["tmp_path"].rglob("*.log")):
            report.sections.append((log.name, log.read_text()[-LOG_BYTES:]))
    return report


def pytest_terminal_summary(terminalreporter) -> None:
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    lines = {
        line for report in reports for name, line in report.user_properties if name == "fault row"
    }
    if lines:
        terminalreporter.section("rows of the fault matrix")
        for line in sorted(lines):
            terminalreporter.write_line(line)
