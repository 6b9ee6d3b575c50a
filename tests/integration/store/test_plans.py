"""How the databases find rows: the plans of the queries that must not read the whole table."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing

import asyncpg
import pytest

from ffrtmp.store import queries
from ffrtmp.store.records import JobFilter
from ffrtmp.store.sql import _page
from ffrtmp.store.sqlite import _all_bound, _in_sqlite
from tests.integration.store.conftest import CLASS, job_id, new_job

ROWS = 5000
FIRST_PAGE, PAGE_VALUES = _page(JobFilter(), 100, None)
CASES = [
    pytest.param(queries.CLAIMABLE, [CLASS, 10**18, 16, *queries.FIRST], "jobs_queued", id="claim"),
    pytest.param(
        queries.AHEAD,
        [CLASS, 4, job_id(4)],
        "(COVERING INDEX|Index Only Scan using|Bitmap Index Scan on) jobs_queued",
        id="place",
    ),
    pytest.param(
        queries.DEPTHS, [], "(COVERING INDEX|Index Only Scan using) jobs_queued", id="depths"
    ),
    pytest.param(queries.CLASSES, [["leased", "running"]], "jobs_queued", id="classes"),
    pytest.param(
        queries.COUNT_JOBS, [], "(COVERING INDEX|Index Only Scan using) jobs_by_state", id="counts"
    ),
    pytest.param(
        queries.JUDGED, [0], "(COVERING INDEX|Index Only Scan using) jobs_ended", id="judged"
    ),
    pytest.param(queries.FORGETTABLE, [10**18, 5], "jobs_ended", id="forgettable"),
    pytest.param(FIRST_PAGE, PAGE_VALUES, "jobs_newest", id="first page"),
    pytest.param(queries.HELD_BY, ["w1"], "jobs_held", id="held"),
    pytest.param(
        queries.HELD_OR_BLOCKED,
        ["w1", [job_id(1), job_id(2)]],
        r"(?s)(SEARCH jobs|using).*jobs_held.*jobs_blocked",
        id="held or blocked",
    ),
    pytest.param(queries.ORPHANS, [500], "jobs_held", id="orphans"),
    pytest.param(
        queries.TARGETS_BELOW,
        [["m:batch", *(f"m:folder{n}" for n in range(9))]],
        # The first entry of each range, not all of them.
        r"(SCALAR SUBQUERY \d\nSEARCH targets USING PRIMARY KEY \(target>"
        r"|Limit .*\n +->  Index Only Scan using targets_pkey)",
        id="targets below",
    ),
    pytest.param(
        queries.TAKEN_TARGETS,
        [[f"m:batch/{n}" for n in range(10)]],
        "(SEARCH targets USING PRIMARY KEY|targets_pkey)",
        id="taken targets",
    ),
    pytest.param(queries.OFFERED_BEFORE, [10**18, 500], "(jobs_held|jobs_by_state)", id="offers"),
]
TABLES = ("jobs", "specs", "targets")
# Copies of one job, each with an id of its own; the first thousand have ended. All write in one
# folder.
FILL = (
    "INSERT INTO {table} ({columns}) SELECT {chosen} FROM {table},"
    " (WITH RECURSIVE n(n) AS (SELECT 10 UNION ALL SELECT n + 1 FROM n WHERE n < {rows})"
    " SELECT n FROM n) AS numbers"
)


# Of jobs that have all ended: a database that knows only the class of those that wait would expect
# to find one of each among the first rows.
DEAD_CLASSES = (
    "INSERT INTO classes WITH RECURSIVE n(n) AS"
    " (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000) SELECT 'dead' || n, '{}' FROM n"
)


def fill(table: str, columns: list[str]) -> str:
    copied = {
        "job_id": "'copy' || n",
        "target": "'m:batch/' || n",
        "rank": "n",
        "submit_time": "n",
        "state": "CASE WHEN n < 1000 THEN 'succeeded' ELSE 'queued' END",
        "end_time": "CASE WHEN n < 1000 THEN n END",
        "sla": "CASE WHEN n < 1000 THEN 'met' END",
    }
    chosen = ", ".join(copied.get(name, name) for name in columns)
    return FILL.format(table=table, columns=", ".join(columns), chosen=chosen, rows=ROWS)


@pytest.fixture
async def explain(open_store, store_address) -> Callable:
    """Asks the database of the store, filled, how it would answer a query."""
    async with open_store() as store:
        await store.submit([new_job(1)])
    if store_address.startswith("sqlite:"):
        path = store_address.removeprefix("sqlite:")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for table in TABLES:
                names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
                connection.execute(fill(table, names))
            connection.execute(DEAD_CLASSES)

            async def ask(query: str, values: list) -> str:
                plan = connection.execute(
                    f"EXPLAIN QUERY PLAN {_in_sqlite(query)}", _all_bound(values)
                )
                return "\n".join(row[3] for row in plan)

            yield ask
        return
    connection = await asyncpg.connect(store_address)
    for table in TABLES:
        names = await connection.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = $1", table
        )
        await connection.execute(fill(table, [row["column_name"] for row in names]))
        # An index alone answers where the visibility map says that the row need not be looked at.
        await connection.execute(f"VACUUM ANALYZE {table}")
    await connection.execute(DEAD_CLASSES)
    await connection.execute("VACUUM ANALYZE classes")

    async def ask(query: str, values: list) -> str:
        return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {query}", *values))

    yield ask
    await connection.close()


@pytest.mark.parametrize(("query", "values", "index"), CASES)
async def test_a_query_of_the_hot_path_goes_by_its_index(explain, query, values, index):
    plan = await explain(query, values)
    assert re.search(index, plan), plan
    for table in TABLES:
        assert f"Seq Scan on {table}" not in plan, plan
        assert f"SCAN {table}\n" not in f"{plan}\n", plan
