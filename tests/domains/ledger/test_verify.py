"""What a person with all rights on the database did is found by `bursar ledger verify`, and named."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bursar.infra.db import connect
from bursar.settings import inherited
from tests.crash.harness import SOURCE
from tests.support.database import ROLE
from tests.support.history import History, cloned_history, made_history

SUM = "journals sum to zero"
COMPLETE = "journals are complete"
BALANCES = "balances equal their postings"
DIGESTS = "digests fit their lines"
CLEARING = "payments: clearing moved exactly captured - refunded - disputed"
UNALLOCATED = "transactions: unallocated money is the payments' and the pending charges'"
SEALS = "seals fit their rows"
ORPHANS = "postings have their journal"
EVENTS = "journals have their event"
DATES = "journals are of the time that their ids say"


@pytest.fixture(scope="module")
async def past(
    server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[str, Path]]:
    """The history that the tests of this module clone, and its data directory."""
    data_dir = tmp_path_factory.mktemp("history")
    async with made_history(server_url, template, data_dir) as url:
        yield url, data_dir


@pytest.fixture
async def history(server_url: str, past: tuple[str, Path]) -> AsyncIterator[History]:
    """A clone of the history for one test."""
    async with cloned_history(server_url, *past) as clone:
        yield clone


async def nothing(history: History) -> None:
    pass


async def alter_one_amount(history: History) -> None:
    first, *_ = await history.journals()
    await history.execute("update postings set amount = amount + 1 where journal_id = $1 and line = 1", first)


async def alter_a_journal_and_its_balances(history: History) -> None:
    first, *_ = await history.journals()
    await history.execute("update postings set amount = amount / 2 where journal_id = $1", first)
    await history.execute(
        """update accounts a set balance = balance - p.amount from postings p
           where p.journal_id = $1 and p.account = a.name and p.currency = a.currency""",
        first,
    )


async def alter_a_journal_and_its_payment(history: History) -> None:
    await alter_a_journal_and_its_balances(history)
    first, *_ = await history.journals()
    await history.execute(
        """update payments set amount_captured = amount_captured / 2, amount_unallocated = amount_unallocated / 2
           where id = (select about from postings where journal_id = $1 and line = 1)""",
        first,
    )


async def alter_all_and_the_digest(history: History) -> None:
    await alter_a_journal_and_its_payment(history)
    first, *_ = await history.journals()
    await history.digest_anew(first)


async def delete_a_posting(history: History) -> None:
    first, *_ = await history.journals()
    await history.execute("delete from postings where journal_id = $1 and line = 2", first)


async def delete_a_journal_only(history: History) -> None:
    *_, last = await history.journals()
    await history.execute("delete from journals where id = $1", last)


async def delete_a_journal_and_all_that_it_did(history: History) -> None:
    first, *_ = await history.journals()
    await history.execute(
        """update payments set status = 'AUTHORIZED', amount_captured = 0, amount_unallocated = 0
           where id = (select about from postings where journal_id = $1 and line = 1)""",
        first,
    )
    await history.execute(
        """update accounts a set balance = balance - p.amount from postings p
           where p.journal_id = $1 and p.account = a.name and p.currency = a.currency""",
        first,
    )
    await history.execute("delete from postings where journal_id = $1", first)
    await history.execute("delete from journals where id = $1", first)


async def change_a_balance(history: History) -> None:
    await history.execute("update accounts set balance = balance + 1 where name = 'provider:sandbox:clearing'")


async def change_two_balances_so_that_they_sum_to_zero(history: History) -> None:
    await history.execute(
        """update accounts set balance = balance + case when name = 'unallocated' then -5 else 5 end
           where currency = 'EUR'"""
    )


async def delete_an_account(history: History) -> None:
    await history.execute("delete from accounts where name = 'unallocated' and currency = 'JPY'")


async def swap_two_amounts(history: History) -> None:
    """Two journals exchange their amounts: every sum holds."""
    first, second, *_ = await history.journals()
    await history.execute(
        """update postings p set amount = other.amount from postings other
           where p.line = other.line
               and (p.journal_id, other.journal_id) in (($1::uuid, $2::uuid), ($2::uuid, $1::uuid))""",
        first,
        second,
    )


async def swap_two_lines(history: History) -> None:
    """The lines of a journal change places."""
    first, *_ = await history.journals()
    await history.execute("update postings set line = line + 2 where journal_id = $1", first)
    await history.execute("update postings set line = 5 - line where journal_id = $1", first)


async def swap_what_two_are_about(history: History) -> None:
    """Two captures of the same amount exchange the payments that they are about: even each payment's sum holds."""
    journals = await history.connection.fetch("select journal_id from postings where amount = 2500 order by journal_id")
    first, second = (row["journal_id"] for row in journals)
    await history.execute(
        """update postings p set about = other.about from postings other
           where p.line = other.line
               and (p.journal_id, other.journal_id) in (($1::uuid, $2::uuid), ($2::uuid, $1::uuid))""",
        first,
        second,
    )


async def swap_and_digest_anew(history: History) -> None:
    await swap_what_two_are_about(history)
    for journal_id in await history.journals():
        await history.digest_anew(journal_id)


async def put_in_a_journal(history: History, tx: str = "pg_current_xact_id()") -> None:
    """A journal without any fault of its own, between accounts that no payment is checked against."""
    new = "01900000-0000-7000-8000-000000000001"
    await history.execute(
        f"""insert into journals (tx, id, type, reference, line_count, digest, occurred_at)
            values ({tx}, '{new}', 'settlement.paid', 'settlement:1', 2, '', now())"""
    )
    await history.execute(
        """insert into accounts values ('vendor:eve:available', 'EUR', 'LIABILITY', true, -50),
                ('commission_revenue', 'EUR', 'REVENUE', true, 50)"""
    )
    await history.execute(
        f"""insert into postings values ('{new}', 1, 'vendor:eve:available', 'EUR', -50, '{new}'),
                ('{new}', 2, 'commission_revenue', 'EUR', 50, '{new}')"""
    )
    await history.digest_anew(new)


async def put_in_a_journal_of_the_past(history: History) -> None:
    """The same, with the transaction of a real one, so that it has an event, too."""
    await put_in_a_journal(history, "(select min(tx) from journals)")


async def move_a_journal_to_another_month(history: History) -> None:
    first, *_ = await history.journals()
    await history.execute("update journals set occurred_at = occurred_at - interval '1 month' where id = $1", first)


async def change_an_audit_line(history: History) -> None:
    await history.execute(
        "update audit set actor = 'nobody' where (tx, position) = (select min(tx), min(position) from audit)"
    )


async def remove_an_audit_line(history: History) -> None:
    await history.execute("delete from audit where position = (select min(position) from audit)")


async def change_a_seal(history: History) -> None:
    await history.execute("update seals set row_count = row_count + 1 where chain = 'journals' and number = 1")


async def remove_the_first_seal(history: History) -> None:
    await history.execute("delete from seals where chain = 'journals' and number = 1")


TAMPERING: list[tuple[Callable[[History], Awaitable[None]], set[str]]] = [
    (nothing, set()),
    (alter_one_amount, {SUM, BALANCES, DIGESTS, CLEARING}),
    (alter_a_journal_and_its_balances, {DIGESTS, CLEARING, UNALLOCATED}),
    (alter_a_journal_and_its_payment, {DIGESTS}),
    (alter_all_and_the_digest, {SEALS}),
    (delete_a_posting, {SUM, COMPLETE, BALANCES, DIGESTS, UNALLOCATED}),
    (delete_a_journal_only, {ORPHANS}),
    (delete_a_journal_and_all_that_it_did, {SEALS}),
    (change_a_balance, {BALANCES}),
    (change_two_balances_so_that_they_sum_to_zero, {BALANCES}),
    (delete_an_account, {BALANCES}),
    (swap_two_amounts, {DIGESTS, CLEARING, UNALLOCATED}),
    (swap_two_lines, {DIGESTS}),
    (swap_what_two_are_about, {DIGESTS}),
    (swap_and_digest_anew, {SEALS}),
    (put_in_a_journal, {EVENTS, DATES}),
    (put_in_a_journal_of_the_past, {SEALS, DATES}),
    (move_a_journal_to_another_month, {DATES}),
    (change_an_audit_line, {SEALS}),
    (remove_an_audit_line, {SEALS}),
    (change_a_seal, {SEALS}),
    (remove_the_first_seal, {SEALS}),
]


class TestTampering:
    @pytest.mark.parametrize("tamper, named", TAMPERING, ids=[tamper.__name__ for tamper, _ in TAMPERING])
    async def test_is_found_and_named(
        self, history: History, tamper: Callable[[History], Awaitable[None]], named: set[str]
    ) -> None:
        await tamper(history)
        assert set(await history.faults()) == named

    async def test_ends_the_command_with_one(self, history: History) -> None:
        await change_a_balance(history)
        answer = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "bursar", "ledger", "verify"],
            env=environment(history),
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 1
        assert "account provider:sandbox:clearing EUR says 10001, its postings 10000" in answer.stdout
        assert "LEDGER NOT VERIFIED" in answer.stdout


def environment(history: History) -> dict[str, str]:
    return {**inherited(history.settings), "PYTHONPATH": str(SOURCE)}


@pytest.fixture
async def as_service(history: History) -> AsyncIterator[Any]:
    """A connection with the role of the service."""
    connection = await connect(history.url, role=ROLE)
    yield connection
    await connection.close()


APPEND_ONLY = ("events", "journals", "postings", "audit", "seals")


class TestTheServicesRole:
    @pytest.mark.parametrize("table", APPEND_ONLY)
    async def test_may_not_change_what_is_append_only(self, as_service: Any, history: History, table: str) -> None:
        column = "chain" if table == "seals" else "account" if table == "postings" else "tx"
        changes = (f"update {table} set {column} = {column}", f"delete from {table}", f"truncate {table} cascade")
        await history.execute("set session_replication_role = origin")
        for change in changes:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await as_service.execute(change)
            with pytest.raises(asyncpg.RestrictViolationError, match="is append-only"):
                await history.execute(change)

    @pytest.mark.parametrize(
        "change",
        ["alter table postings disable trigger all", "set session_replication_role = replica", "drop table journals"],
    )
    async def test_may_not_silence_the_guards(self, as_service: Any, change: str) -> None:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await as_service.execute(change)

    @pytest.mark.parametrize(
        "amounts, refused",
        [((70, -60), "postings_balanced"), ((70, -40, -30), "postings_complete"), ((70,), "balanced")],
    )
    async def test_cannot_post_what_is_unbalanced_or_incomplete(
        self, as_service: Any, amounts: tuple[int, ...], refused: str
    ) -> None:
        with pytest.raises(asyncpg.CheckViolationError) as caught:
            await post(as_service, [("provider:sandbox:clearing", amount) for amount in amounts])
        assert refused in str(caught.value.constraint_name)

    async def test_cannot_overdraw_a_liability(self, as_service: Any) -> None:
        with pytest.raises(asyncpg.CheckViolationError) as caught:
            await post(as_service, [("unallocated", 10_001), ("provider:sandbox:clearing", -10_001)])
        assert caught.value.constraint_name == "accounts_balance_side"

    async def test_cannot_post_the_same_cause_twice(self, as_service: Any) -> None:
        lines = [("unallocated", 1), ("provider:sandbox:clearing", -1)]
        await post(as_service, lines)
        with pytest.raises(asyncpg.UniqueViolationError):
            await post(as_service, lines)


async def post(connection: Any, lines: list[tuple[str, int]]) -> None:
    """Post as the service does, past its own assertions."""
    kinds = {"unallocated": ("LIABILITY", False), "provider:sandbox:clearing": ("ASSET", True)}
    journal_id = await connection.fetchval("select gen_random_uuid()")
    journal = {
        "id": journal_id,
        "type": "test",
        "reference": "test:1",
        "line_count": 2,
        "digest": "",
        "occurred_at": "2026-01-01T00:00:00Z",
    }
    postings = [
        {
            "journal_id": journal_id,
            "line": line,
            "account": account,
            "currency": "EUR",
            "amount": amount,
            "about": journal_id,
            "kind": kinds[account][0],
            "can_overdraw": kinds[account][1],
        }
        for line, (account, amount) in enumerate(lines, 1)
    ]
    document = {
        "journals": [{"c": 0, "r": journal}],
        "postings": [{"c": 0, "r": posting} for posting in postings],
    }
    await connection.fetchval("select write_batch($1)", document)
