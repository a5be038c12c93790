"""The comparison is fair: for one checkout every contender leaves the rows that Bursar leaves."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.bench import documents, machine, rounds
from tests.bench.load import Pgbench

pytestmark = pytest.mark.long

TABLES = (
    "accounts",
    "audit",
    "events",
    "fraud_checks",
    "idempotency_keys",
    "jobs",
    "journals",
    "payments",
    "personal_data",
    "postings",
)
SIZES_DIFFER_MAX = 0.2

Rows = dict[str, tuple[int, int]]
"""Number of rows and their bytes, by table."""


def rows_of(url: str) -> Rows:
    sql = " union all ".join(
        f"select '{table}' as name, count(*) as rows, coalesce(sum(pg_column_size(t.*)), 0) as bytes from {table} t"
        for table in TABLES
    )
    return {row["name"]: (row["rows"], row["bytes"]) for row in asyncio.run(machine.fetch(url, sql))}


def assert_alike(one: Rows, other: Rows) -> None:
    assert {table: count for table, (count, _) in one.items()} == {table: count for table, (count, _) in other.items()}
    for table, (_, size) in one.items():
        assert other[table][1] == pytest.approx(size, rel=SIZES_DIFFER_MAX), f"bytes of {table}"


@pytest.fixture(scope="module")
def started() -> Iterator[machine.Machine]:
    with machine.started() as running:
        yield running


@pytest.fixture(scope="module")
def bursar(started: machine.Machine) -> tuple[Rows, dict[str, str]]:
    """What one checkout of the service leaves, and the documents that it wrote."""
    url = started.database("bench_bursar")
    sampled = documents.sample(started.bursar(url), started.token, url)
    return rows_of(url), sampled


class TestPeers:
    def test_ordinary_stack_writes_the_same_rows(
        self, started: machine.Machine, bursar: tuple[Rows, dict[str, str]]
    ) -> None:
        url = started.database("bench_orm")
        documents.check_out(started.ordinary_stack(url), started.token, "sample")
        assert_alike(bursar[0], rows_of(url))

    def test_pgbench_writes_the_same_rows(self, started: machine.Machine, bursar: tuple[Rows, dict[str, str]]) -> None:
        url = started.database("bench_pgbench")
        asyncio.run(machine.run_sql(url, rounds.ACCOUNTS))
        Pgbench(started, url, bursar[1]).once("checkout")
        assert_alike(bursar[0], rows_of(url))
