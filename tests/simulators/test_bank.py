"""The bank by itself: what it takes and refuses, its test accounts, and that its answers are files by the rules."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from bursar.providers.ach.build import Direction, Instruction, build
from bursar.providers.ach.calendar import add_banking_days
from bursar.providers.ach.changes import changes_in
from bursar.providers.ach.nacha import examine, write
from bursar.providers.ach.nacha.codes import AccountType
from bursar.providers.ach.returns import returns_in
from bursar.providers.sepa.calendar import next_banking_day
from bursar.providers.sepa.pain import Transfer, credit_transfer_file
from bursar.providers.sepa.status import Standing, read_status_report
from simulators.bank import Bank, provider
from simulators.bank.accounts import ABOUT, ACH, SEPA, after
from simulators.bank.carry import Carrier
from simulators.kit.server import build as built
from simulators.kit.server import running
from tests.providers.bank_setting import ORIGINATOR, PAYER, ROUTING

IBANS = {
    "0116": "DE66370400440532010116",
    "0127": "DE60370400440532010127",
    "0141": "DE70370400440532010141",
    "0158": "DE96370400440532010158",
    "0172": "DE09370400440532010172",
    "": "FR1420041010050500013M02606",
}


def today(bank: Bank) -> date:
    return datetime.fromtimestamp(bank.clock.now(), UTC).date()


def entries(bank: Bank, *numbers: str) -> str:
    """A file of ours with a debit of 1000 from each account."""
    day = add_banking_days(today(bank), 1)
    instructions = [
        Instruction(
            trace_sequence=sequence,
            direction=Direction.DEBIT,
            amount=1000,
            routing_number=ROUTING,
            account_number=number,
            account_type=AccountType.CHECKING,
            holder_name="Jane Doe",
            individual_id="ID",
            sec_code="PPD",
            effective_on=day,
        )
        for sequence, number in enumerate(numbers, 1)
    ]
    originator = msgspec.structs.replace(ORIGINATOR, entry_description="PAYMENT")
    return write(build(instructions, originator, created_at=datetime.now(UTC)))


def transfers(bank: Bank) -> str:
    """A file of ours with a transfer to each IBAN, whose key is the ending."""
    payments = [Transfer(f"key-{ending}", 1000, "Jeanne", iban, "PAYOUT") for ending, iban in IBANS.items()]
    day = next_banking_day(today(bank))
    now = datetime.now(UTC)
    return credit_transfer_file(PAYER, payments, message_id="sepa-1", created_at=now, execution_date=day).decode()


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Bank, httpx.AsyncClient]]:
    bank = provider()
    app = built(bank)
    async with running(app) as url, httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        yield bank, client
    assert app.simulator.violations == []


async def answers(client: httpx.AsyncClient, days: float = 0) -> list[str]:
    """What the bank has to say so many days from now."""
    await client.post("/_sim/clock", json={"advance": days * 86_400})
    names = [each["name"] for each in (await client.get("/files")).json()["data"]]
    return [(await client.get(f"/files/{name}")).json()["content"] for name in names]


class TestNacha:
    async def test_each_test_account_answers_in_a_file_by_the_rules(self) -> None:
        async with served() as (bank, client):
            numbers = [f"00000{ending}" for ending in ACH] + ["0000012345"]
            taken = await client.post("/files", json={"name": "a", "content": entries(bank, *numbers)})
            assert (taken.status_code, taken.json()["entries"], taken.json()["debit"]) == (202, 9, 9000)
            assert await answers(client) == []
            told: dict[str, str] = {}
            for content in await answers(client, 20):
                reading = examine(content)
                assert reading.file is not None, reading.problems
                assert reading.remarks == ()
                told |= {each.original_trace_number[-1]: each.code for each in returns_in(reading.file)}
                corrections = changes_in(reading.file)
                assert all(each.correction is not None for each in corrections)
                told |= {each.original_trace_number[-1]: each.code for each in corrections}
            assert told == {str(index): course.code for index, course in enumerate(ACH.values(), 1)}
            returned = sum(course.code[0] == "R" for course in ACH.values()) * 1000
            assert (bank.books.total("debit", "USD"), bank.books.total("return", "USD")) == (9000, returned)

    async def test_refuses_what_does_not_add_up(self) -> None:
        async with served() as (bank, client):
            good = entries(bank, "12345")
            lines = good.splitlines()
            for spoiled in (
                good.replace("0000001000", "0000001001", 1),
                "\n".join(lines[:-1]),
                good.replace(ROUTING, "231380105"),
                good[:-20],
                "",
            ):
                answer = await client.post("/files", json={"name": "a", "content": spoiled})
                assert answer.status_code == 400 and "line" in answer.json()["fault"]
            assert bank.books.entries == []
            for status in (202, 400):
                assert (await client.post("/files", json={"name": "a", "content": good})).status_code == status

    async def test_sends_back_what_somebody_asks_it_to(self) -> None:
        async with served() as (bank, client):
            await client.post("/files", json={"name": "a", "content": entries(bank, "12345")})
            trace = bank.books.entries[0].key
            asked = {"traceNumber": trace, "code": "R29"}
            assert (await client.post("/test/returns", json=asked)).status_code == 202
            assert (await client.post("/test/returns", json={**asked, "traceNumber": "1"})).status_code == 404
            (content,) = await answers(client)
            file = examine(content).file
            assert file is not None and [each.code for each in returns_in(file)] == ["R29"]
            assert (await client.get("/files/nothing")).status_code == 404


class TestPain:
    async def test_each_test_iban_gets_its_verdict(self) -> None:
        async with served() as (bank, client):
            taken = await client.post("/files", json={"name": "a", "content": transfers(bank)})
            assert (taken.status_code, taken.json()["entries"], taken.json()["credit"]) == (202, 6, 6000)
            told: dict[str, Any] = {}
            for content in await answers(client, 20):
                report = read_status_report(content.encode())
                assert report.original_message_id == "sepa-1"
                told |= report.transfers
            assert told["key-"].standing is Standing.SETTLED
            assert {key.removeprefix("key-"): each.reason_code for key, each in told.items() if key != "key-"} == {
                ending: course.code for ending, course in SEPA.items()
            }

    async def test_refuses_what_does_not_add_up(self) -> None:
        async with served() as (bank, client):
            for spoiled in (transfers(bank).replace(">10.00<", ">10.01<", 1), "<Document/>", "<Docu"):
                answer = await client.post("/files", json={"name": "a", "content": spoiled})
                assert answer.status_code == 400


def test_files_are_carried_there_and_back(tmp_path: Path) -> None:
    bank = provider()
    carrier = Carrier(bank, tmp_path, ".ach")
    (tmp_path / "outgoing" / "good.ach").write_text(entries(bank, "0000010116"))
    (tmp_path / "outgoing" / ".hidden.ach.part").write_text("half")
    (tmp_path / "outgoing" / "bad.ach").write_text("nothing")
    assert carrier.carry() == 2
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["good.ach"]
    assert sorted(path.name for path in (tmp_path / "not-taken").iterdir()) == ["bad.ach", "bad.ach.reason"]
    bank.clock.advance(10 * 86_400)
    assert (carrier.carry(), carrier.carry()) == (1, 0)
    assert [path.name for path in (tmp_path / "incoming").iterdir()] == ["answer-000001.ach"]


@pytest.mark.parametrize("count,day", [(0, date(2026, 11, 30)), (1, date(2026, 12, 1)), (5, date(2026, 12, 7))])
def test_counts_weekdays(count: int, day: date) -> None:
    assert after(date(2026, 11, 30), count) == day
    assert after(date(2026, 11, 28), 0) == date(2026, 11, 30)


def test_says_what_its_test_accounts_do() -> None:
    assert all(ending in ABOUT for ending in (*ACH, *SEPA))
