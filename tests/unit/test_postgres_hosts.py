"""A DSN of several hosts, taken apart."""

import pytest

pytest.importorskip("asyncpg")

from ffrtmp.store.postgres_pool import hosts_of


def test_each_host_gets_a_dsn_of_its_own():
    assert hosts_of("postgresql://u:p@a:5432,b:5433/ffrtmp?sslmode=require") == [
        "postgresql://u:p@a:5432/ffrtmp?sslmode=require",
        "postgresql://u:p@b:5433/ffrtmp?sslmode=require",
    ]
    assert hosts_of("postgresql://a,b/n") == ["postgresql://a/n", "postgresql://b/n"]


@pytest.mark.parametrize("dsn", ["postgresql://a/n", "postgresql://u@/n?host=/run/a", "nonsense"])
def test_any_other_dsn_is_left_as_it_is(dsn):
    assert hosts_of(dsn) == [dsn]
