"""The ACH adapter's files: when they go out, and what is made of those that come in."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from bursar.providers.ach.nacha import File, read, write
from bursar.providers.port import Approved, Declined, Outcome, Pending
from tests.providers.bank_setting import (
    NUMBER,
    ROUTING,
    Bank,
    account,
    authorization,
    capture,
    changed,
    entries_of,
    opened,
    payout,
    refund,
    returned,
)

LOSE_LOCKS = """select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'
                and database = (select oid from pg_database where datname = current_database())"""

INTERNATIONAL = r"""101 231380104 1210428821901160000A094101Federal Reserve Bank   My Bank Name
5220IATCOR          FF3               US123456789 CORTRADEPAYMTCADUSD000000   1231380100000001
6211210428820007             0000000000123456789                              1231380100000001
710ANN000000000000100000928383-23938          BEK Enterprises                          0000001
711BEK Solutions                      15 West Place Street                             0000001
712JacobsTown*PA\                     US*19305\                                        0000001
713Wells Fargo                        01121042882                         US           0000001
714Citadel Bank                       01231380104                         US           0000001
7159874654932139872121 Front Street                                                    0000001
716LetterTown*AB\                     CA*80014\                                        0000001
{change}
82200000090012104288000000000000000000000000                                   231380100000001
9000001000002000000090012104288000000000000000000000000
"""
"""A notification of change of an international entry (moov-io/ach, iat-addenda98, without its amount)."""


@pytest.fixture
async def bank(database_url: str, tmp_path: Path) -> AsyncIterator[Bank]:
    async with opened(database_url, tmp_path) as opened_bank:
        yield opened_bank


def declined(outcome: Outcome) -> str:
    assert isinstance(outcome, Declined), outcome
    return outcome.decline_code


class TestWindows:
    async def test_one_file_at_the_cutoff_takes_effect_on_the_next_banking_day(self, bank: Bank) -> None:
        await bank.do(authorization(100, capture=True))
        bank.clock.at = datetime(2026, 11, 30, 20, 59, tzinfo=UTC)
        await bank.exchange()
        assert bank.outgoing() == []
        bank.clock.at = datetime(2026, 11, 30, 21, 0, tzinfo=UTC)  # four o'clock in New York
        await bank.do(authorization(200, capture=True))
        for _ in range(3):
            await bank.exchange()
        assert [entry.amount for entry in entries_of(*bank.outgoing())] == [100]
        assert read(bank.outgoing()[0]).batches[0].header.effective_date == "261201"
        await bank.pass_days(2)
        assert [entry.amount for entry in entries_of(*bank.outgoing())] == [100, 200]

    async def test_a_file_that_is_late_takes_effect_late_and_settles_late(self, bank: Bank) -> None:
        await bank.do(authorization(capture=True))
        bank.clock.at = datetime(2026, 12, 5, 12, tzinfo=UTC)  # nobody worked until Saturday
        await bank.exchange()
        row = (await bank.rows("select effective_on, settles_on from bank_entries"))[0]
        assert tuple(row) == (date(2026, 12, 8), date(2026, 12, 11))

    async def test_more_than_the_controls_of_one_file_can_say_goes_out_in_two(self, bank: Bank) -> None:
        largest = 9_999_999_999
        for _ in range(101):
            assert await bank.do(payout(largest)) == Pending()
        await bank.pass_days(1)
        first, second = bank.outgoing()
        assert [entry.amount for entry in entries_of(first, second)] == [largest] * 101
        assert read(first).totals.credit == 100 * largest

    async def test_two_processes_cut_one_file(self, bank: Bank, database_url: str, tmp_path: Path) -> None:
        async with opened(database_url, tmp_path) as other:
            await bank.do(authorization(capture=True))
            bank.clock.at = other.clock.at = datetime(2026, 11, 30, 22, tzinfo=UTC)
            async with bank.database.pool.acquire() as connection:
                await connection.fetchval("select pg_advisory_lock($1)", 0x62616368)
                await other.exchange()
                assert other.outgoing() == []
            await other.exchange()
            await bank.exchange()
        assert len(entries_of(*bank.outgoing())) == 1

    async def test_one_that_lost_its_lock_lets_no_file_appear_again(
        self, bank: Bank, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        render, is_rendered, goes_on = bank.provider.courier._render, asyncio.Event(), asyncio.Event()

        async def slowly(file: Any) -> bytes:
            content: bytes = await render(file)
            is_rendered.set()
            await goes_on.wait()
            return content

        monkeypatch.setattr(bank.provider.courier, "_render", slowly)
        await bank.do(authorization(capture=True))
        async with opened(database_url, tmp_path) as other:
            bank.clock.at = other.clock.at = datetime(2026, 11, 30, 22, tzinfo=UTC)
            slow = asyncio.create_task(bank.exchange())
            try:
                await is_rendered.wait()
                operator = await asyncpg.connect(database_url)
                await operator.execute(LOSE_LOCKS)
                await operator.close()
                while not bank.outgoing():
                    await other.exchange()
                for path in (bank.directory / "outgoing").glob("*.ach"):
                    path.unlink()  # it is on its way to the bank
            finally:
                goes_on.set()
                await asyncio.gather(slow, return_exceptions=True)
            await other.exchange()
        assert bank.outgoing() == []
        assert await bank.rows("select written_at from bank_files where status = 'WRITTEN'")

    async def test_trace_numbers_begin_anew_after_the_last(self, bank: Bank, database_url: str) -> None:
        owner = await asyncpg.connect(database_url)
        await owner.execute("select setval('bank_trace_numbers', 9999998)")
        await owner.close()
        for _ in range(3):
            await bank.do(authorization(capture=True))
        await bank.pass_days(1)
        numbers = {entry.trace_number for entry in entries_of(*bank.outgoing())}
        assert numbers == {"121042889999999", "121042880000001", "121042880000002"}


class TestIncoming:
    async def sent(self, bank: Bank, code: str | None = None) -> tuple[object, bytes]:
        request = authorization(capture=True)
        await bank.do(request)
        await bank.pass_days(1)
        file = bank.outgoing()[-1]
        if code is not None:
            bank.bring("back.ach", returned(file, entries_of(file)[0], code))
        return request, file

    async def test_a_file_counts_once(self, bank: Bank) -> None:
        _, file = await self.sent(bank, "R01")
        await bank.exchange()
        bank.bring("again.ach", returned(file, entries_of(file)[0], "R01"))
        await bank.exchange()
        assert [row[0] for row in await bank.rows("select code from bank_notices")] == ["R01"]
        done = sorted(path.name for path in (bank.directory / "incoming" / "done").iterdir())
        assert done == ["again.ach", "back.ach"]

    async def test_a_second_return_of_one_entry_changes_nothing(self, bank: Bank) -> None:
        request, file = await self.sent(bank, "R01")
        await bank.exchange()
        bank.bring("other.ach", returned(file, entries_of(file)[0], "R02"))
        await bank.exchange()
        assert declined(await bank.ask(request)) == "insufficient_funds"
        rows = await bank.rows("select code, entry_id is null from bank_notices order by id")
        assert [tuple(row) for row in rows] == [("R01", False), ("R02", True)]

    async def test_a_return_after_it_counted_as_paid_says_so(self, bank: Bank) -> None:
        request, file = await self.sent(bank)
        await bank.pass_days(6)
        assert isinstance(await bank.ask(request), Approved)
        bank.bring("late.ach", returned(file, entries_of(file)[0], "R10"))
        (news,) = await bank.exchange()
        assert (news.is_late, news.failure_code, news.is_verification) == (True, "debit_not_authorized", False)
        assert declined(await bank.ask(request)) == "debit_not_authorized"
        reference = f"ach_{request.key}"
        assert declined(await bank.do(refund(reference, 1))) == "amount_not_refundable"

    async def test_a_return_of_nothing_of_ours_is_kept(self, bank: Bank) -> None:
        request, file = await self.sent(bank)
        ours, theirs = entries_of(file)[0], "999999990000001"
        bank.bring("back.ach", returned(file, ours, "R01").replace(ours.trace_number, theirs))
        await bank.exchange()
        row = (await bank.rows("select about, code, entry_id from bank_notices"))[0]
        assert tuple(row) == (theirs, "R01", None)
        assert await bank.ask(request) == Pending()

    async def test_a_return_of_another_amount_is_not_believed(self, bank: Bank) -> None:
        request, file = await self.sent(bank)
        sent = msgspec.structs.replace(entries_of(file)[0], amount=4999)
        other = read(file)
        batch = msgspec.structs.replace(other.batches[0], entries=(sent,))
        bank.bring("back.ach", returned(write(File(other.header, (batch,))).encode(), sent, "R01"))
        await bank.exchange()
        assert await bank.ask(request) == Pending()

    async def test_a_file_may_be_called_anything(self, bank: Bank) -> None:
        request = authorization(capture=True)
        await bank.do(request)
        content = await bank.send()
        bank.bring("R\udcfcckgabe.ach", returned(content, entries_of(content)[0], "R01"))
        await bank.exchange()
        assert declined(await bank.ask(request)) == "insufficient_funds"

    async def test_what_is_hidden_has_not_come_yet(self, bank: Bank) -> None:
        bank.bring(".half.ach", "101 121042882")
        await bank.exchange()
        assert [path.name for path in (bank.directory / "incoming").iterdir() if path.is_file()] == [".half.ach"]

    async def test_what_cannot_be_read_is_put_aside_with_the_reason(self, bank: Bank) -> None:
        request, file = await self.sent(bank)
        torn = returned(file, entries_of(file)[0], "R01").splitlines()[:-8]
        bank.bring("torn.ach", "\n".join(torn))
        await bank.exchange()
        refused = bank.directory / "incoming" / "refused"
        assert sorted(path.name for path in refused.iterdir()) == ["torn.ach", "torn.ach.reason"]
        assert "line" in (refused / "torn.ach.reason").read_text()
        assert await bank.ask(request) == Pending()

    async def test_a_correction_is_told_and_counts_for_the_next_entry(self, bank: Bank) -> None:
        instrument = account()
        paid = authorization(capture=True, instrument=instrument)
        held = authorization(9000, instrument=instrument)
        for request in (paid, held):
            await bank.do(request)
        await bank.pass_days(1)
        file = bank.outgoing()[0]
        bank.bring("change.ach", changed(file, entries_of(file)[0], "C01", "11112222"))
        (news,) = await bank.exchange()
        assert news.method_id == instrument.id and news.correction is not None
        assert (news.correction.account_number, news.correction.routing_number) == ("11112222", None)
        await bank.provider.acknowledge([news.id])
        bank.bring("change2.ach", changed(file, entries_of(file)[0], "C02", "121042882"))
        await bank.exchange()
        await bank.do(capture(f"ach_{held.key}", 9000))
        sent = entries_of(await bank.send())[0]
        assert (sent.account_number, sent.routing_number) == ("11112222", "121042882")
        open_records = await bank.rows("select distinct vault_record_id from bank_entries")
        assert len(open_records) == 1
        assert ROUTING not in news.__repr__()

    async def test_a_correction_to_which_nothing_can_be_sent_changes_nothing(self, bank: Bank) -> None:
        """One of an international entry may tell an account of 35 characters, which no domestic entry can name."""
        instrument = account()
        paid, held = authorization(capture=True, instrument=instrument), authorization(9000, instrument=instrument)
        for request in (paid, held):
            await bank.do(request)
        (sent,) = entries_of(await bank.send())
        change = f"798C01{sent.trace_number}{'':6}12104288{'1' * 35}{'':9}121042880000001"
        bank.bring("change.ach", INTERNATIONAL.format(change=change))
        assert await bank.exchange() == []
        assert await bank.rows("select entry_id from bank_notices where entry_id is not null")
        await bank.do(capture(f"ach_{held.key}", 9000))
        assert [entry.account_number for entry in entries_of(await bank.send())] == [NUMBER]
