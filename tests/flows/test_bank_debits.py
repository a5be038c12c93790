"""Bank debits over HTTP, from the account to the ledger: micro-deposits, returns and corrections by a bank's files."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bursar import wiring
from bursar.domains.payment_methods import bank_news
from bursar.infra import keyfiles, seal
from bursar.kit.errors import RowBusy
from bursar.providers.port import BankAccount
from simulators.bank import Bank, provider
from simulators.bank.carry import Carrier
from tests.conftest import Serve
from tests.support.api import Api, json_of, problem_of, unique
from tests.support.methods import add, events_of, remove, rule, shown, us_account, verify
from tests.support.service import Service

CLEARING = "select coalesce(sum(amount), 0) from postings where account = 'provider:ach:clearing'"
SETTINGS: dict[str, Any] = {
    "providers": "ach",
    "ach_origin": "1234567890",
    "ach_origin_name": "Bursar Test",
    "ach_destination": "121042882",
    "ach_destination_name": "Test Bank",
    "ach_company_id": "1234567890",
}
DAYS_MAX = 12


class Counter:
    """A service whose payments go through ACH, and the bank that it exchanges files with."""

    def __init__(self, service: Service, bank: Bank, carrier: Carrier) -> None:
        self.service = service
        self.bank = bank
        self.carrier = carrier
        self.api: Api = service.api.as_("service")
        self.staff: Api = service.api.as_("admin")

    async def pass_day(self) -> None:
        """A day later: the bank has had the files, we have its answers, and what was asked for is known."""
        self.service.clock.advance(days=1)
        self.bank.clock.advance(timedelta(days=1).total_seconds())
        self.carrier.carry()
        await self.service.run_schedule("payment_methods.bank_files")
        self.carrier.carry()
        await self.service.run_jobs()

    async def account(self, ending: str = "", **changes: Any) -> dict[str, Any]:
        """A customer's account whose owner is known; what becomes of its entries is told by its ending."""
        number = f"{unique('9').replace('-', ''):0>6}{ending or '0000'}"
        method = await add(self.api, unique("customer"), us_account(number, **changes))
        return json_of(await rule(self.staff, method, "VERIFIED"), 200)

    async def pay(self, method: dict[str, Any], amount: int = 2500, **changes: Any) -> dict[str, Any]:
        """A payment that is asked for; nobody knows yet how it goes."""
        values = {"currency": "USD", "captureMethod": "AUTOMATIC", **changes}
        return await self.api.create_payment(
            customerId=method["customerId"], paymentMethodId=method["id"], amount=amount, **values
        )

    async def charge(self, method: dict[str, Any], amount: int = 2500) -> dict[str, Any]:
        payment = await self.pay(method, amount)
        assert json_of(await self.api.authorize(payment["id"]), 202)["status"] == "PROCESSING"
        return payment

    async def known(self, payment: dict[str, Any]) -> dict[str, Any]:
        """The payment once it is known how it went."""
        for _ in range(DAYS_MAX):
            await self.pass_day()
            now = await self.api.show(payment["id"])
            if now["status"] != "PROCESSING":
                return now
        raise AssertionError(f"PROCESSING after {DAYS_MAX} days")

    async def clearing(self) -> int:
        return int((await self.service.fetch(CLEARING))[0][0])

    async def check(self) -> None:
        """Every invariant holds, and what the bank moved is what the ledger says, but for what is on its way."""
        async with self.service.connection() as connection:
            found = {}
            for invariant in wiring.INVARIANTS:
                found.update(await invariant(connection))
            key = keyfiles.seal_key(self.service.app.settings.keys_path).public_key()
            found["seals"] = await seal.faults(connection, key)
        assert not any(found.values()), found
        (row,) = await self.service.fetch("select count(*) from bank_entries where status = any ('{QUEUED,SENT}')")
        if row[0] == 0:
            books = self.bank.books
            returned = [
                entry for entry in books.of("return") if entry.key in {debit.key for debit in books.of("debit")}
            ]
            taken = books.total("debit", "USD") - sum(entry.amount for entry in returned)
            assert await self.clearing() == taken


@pytest.fixture
async def counter(serve: Serve, tmp_path: Path) -> AsyncIterator[Counter]:
    async with opened(serve, tmp_path) as made:
        yield made
        await made.check()


@asynccontextmanager
async def opened(serve: Serve, directory: Path) -> AsyncIterator[Counter]:
    bank = provider()
    async with serve(**SETTINGS, ach_directory=str(directory / "bank")) as service:
        yield Counter(service, bank, Carrier(bank, directory / "bank", ".ach"))


async def kept(counter: Counter, method: dict[str, Any]) -> BankAccount:
    """What the vault has of a method."""
    rows = await counter.service.fetch("select vault_record_id from payment_methods where id = $1", method["id"])
    document = await counter.service.app.vault.open(rows[0][0])
    assert document is not None
    return msgspec.json.decode(document, type=BankAccount)


class TestMicroDeposits:
    async def test_prove_an_account_which_then_pays(self, counter: Counter) -> None:
        method = await add(counter.api, unique("customer"), us_account())
        wanted = {"customerId": method["customerId"], "paymentMethodId": method["id"], "currency": "USD"}
        problem_of(await counter.api.post_payment(**wanted), 409, "payment_method_unusable")
        json_of(await verify(counter.api, method), 202)
        await counter.service.run_jobs()
        amounts: list[int] = []
        for _ in range(DAYS_MAX):
            await counter.pass_day()
            amounts = [entry.amount for entry in counter.bank.books.of("credit")]
            if amounts:
                break
        assert len(amounts) == 2 and all(1 <= amount <= 99 for amount in amounts)
        assert {entry.reference for entry in counter.bank.books.of("credit")} == {
            (await kept(counter, method)).account_number
        }
        verified = json_of(await verify(counter.api, method, amounts=amounts), 200)
        assert verified["verificationStatus"] == "VERIFIED"
        assert (await counter.known(await counter.charge(method)))["status"] == "CAPTURED"
        assert await counter.clearing() == 2500

    async def test_that_come_back_fail_the_verification(self, counter: Counter) -> None:
        method = await add(counter.api, unique("customer"), us_account("8800000141"))
        json_of(await verify(counter.api, method), 202)
        await counter.service.run_jobs()
        for _ in range(DAYS_MAX):
            await counter.pass_day()
            now = await shown(counter.api, method)
            if now["verificationStatus"] == "FAILED":
                break
        assert (now["verificationStatus"], now["failureCode"]) == ("FAILED", "account_not_found")
        problem_of(await verify(counter.api, method, amounts=[1, 2]), 409, "micro_deposits_not_sent")


class TestCharges:
    async def test_are_booked_once_their_days_have_passed(self, counter: Counter) -> None:
        payment = await counter.charge(await counter.account())
        assert await counter.clearing() == 0
        captured = await counter.known(payment)
        assert (captured["status"], captured["amountCaptured"], captured["provider"]) == ("CAPTURED", 2500, "ach")
        assert captured["transactionId"].startswith("ach_")
        lines = await counter.service.fetch(
            "select account, amount from postings where about = $1 order by amount", payment["id"]
        )
        assert [tuple(line) for line in lines] == [("unallocated", -2500), ("provider:ach:clearing", 2500)]
        assert counter.bank.books.total("debit", "USD") == 2500

    async def test_that_come_back_fail_the_payment(self, counter: Counter) -> None:
        payment = await counter.charge(await counter.account("0127"))
        failed = await counter.known(payment)
        assert (failed["status"], failed["failureCode"]) == ("FAILED", "insufficient_funds")
        assert failed["amountCaptured"] == await counter.clearing() == 0

    async def test_in_two_steps(self, counter: Counter) -> None:
        payment = await counter.pay(await counter.account(), 5000, captureMethod="MANUAL")
        assert json_of(await counter.api.authorize(payment["id"]), 200)["status"] == "AUTHORIZED"
        assert json_of(await counter.api.capture(payment["id"], 2000), 202)["status"] == "PROCESSING"
        assert (await counter.known(payment))["amountCaptured"] == 2000
        assert counter.bank.books.total("debit", "USD") == 2000

    async def test_that_nobody_captured_are_given_back(self, counter: Counter) -> None:
        payment = await counter.pay(await counter.account(), captureMethod="MANUAL")
        json_of(await counter.api.authorize(payment["id"]), 200)
        assert json_of(await counter.api.act(payment["id"], "cancel"), 200)["status"] == "CANCELLED"
        for _ in range(4):
            await counter.pass_day()
        assert counter.bank.books.entries == []

    async def test_in_other_currencies_go_elsewhere(self, counter: Counter) -> None:
        payment = await counter.pay(await counter.account(), currency="EUR")
        problem_of(await counter.api.authorize(payment["id"]), 422, "no_provider")


class TestCorrections:
    async def test_put_the_account_right_for_the_next_payment(self, counter: Counter) -> None:
        method = await counter.account("0133")
        before = await shown(counter.api, method)
        old = await counter.service.fetch("select vault_record_id from payment_methods where id = $1", method["id"])
        assert (await counter.known(await counter.charge(method)))["status"] == "CAPTURED"
        after = await shown(counter.api, method)
        assert (before["bankAccount"]["last4"], after["bankAccount"]["last4"]) == ("0133", "0999")
        assert before["fingerprint"] != after["fingerprint"]
        assert (await kept(counter, method)).account_number == "9876540999"
        assert await counter.service.app.vault.open(old[0][0]) is None
        assert (await events_of(counter.service, method))[-1] == "updated"
        assert (await counter.known(await counter.charge(method, 700)))["status"] == "CAPTURED"
        debits = [(entry.reference[-4:], entry.amount) for entry in counter.bank.books.of("debit")]
        assert debits == [("0133", 2500), ("0999", 700)]

    async def test_of_bank_and_kind_of_account(self, counter: Counter) -> None:
        routed, saved = await counter.account("0164"), await counter.account("0189")
        for payment in [await counter.charge(routed), await counter.charge(saved)]:
            await counter.known(payment)
        account = await kept(counter, routed)
        assert (account.routing_number, account.account_number) == ("021000021", "9876541888")
        assert (await kept(counter, saved)).account_type == "SAVINGS"
        assert (await shown(counter.api, saved))["bankAccount"]["accountType"] == "SAVINGS"

    async def test_are_told_again_until_they_are_applied(
        self, counter: Counter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def busy(*_: Any) -> None:
            raise RowBusy(retry_after=1)

        method = await counter.account("0133")
        with monkeypatch.context() as patched:
            patched.setattr(bank_news, "apply", busy)
            await counter.known(await counter.charge(method))
            assert (await shown(counter.api, method))["bankAccount"]["last4"] == "0133"
        await counter.service.run_schedule("payment_methods.bank_files")
        assert (await shown(counter.api, method))["bankAccount"]["last4"] == "0999"
        version = (await shown(counter.api, method))["version"]
        await counter.service.run_schedule("payment_methods.bank_files")
        assert (await shown(counter.api, method))["version"] == version

    async def test_leave_a_removed_method_alone(self, counter: Counter) -> None:
        method = await counter.account("0133")
        payment = await counter.charge(method)
        await counter.pass_day()
        json_of(await remove(counter.api, method), 200)
        for _ in range(6):
            await counter.pass_day()
        assert (await counter.known(payment))["status"] == "CAPTURED"
        told = await counter.service.fetch("select is_untold from bank_notices")
        assert [row[0] for row in told] == [False]
        assert (await events_of(counter.service, method))[-1] == "removed"
