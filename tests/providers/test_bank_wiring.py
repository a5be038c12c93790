"""How the bank rails are put together: settings, guard, and the rules that the database holds by itself."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bursar.assembly import payment_providers
from bursar.kit.clock import ManualClock
from bursar.providers.guard import GuardedRail, Limits, guarded
from bursar.providers.port import BankNews, BankRail, Capture, Payout
from bursar.providers.sandbox.adapter import Sandbox
from bursar.settings import Settings, SettingsError
from tests.providers.bank_setting import MONDAY, Bank, authorization, capture, opened, payout

ACH = {
    "ach_origin": "1234567890",
    "ach_origin_name": "Bursar",
    "ach_destination": "121042882",
    "ach_destination_name": "Bank",
    "ach_company_id": "1234567890",
}
SEPA = {"sepa_iban": "DE89370400440532013000", "sepa_bic": "COBADEFFXXX", "sepa_name": "Bursar"}


def made(providers: str, **settings: Any) -> Any:
    nothing: Any = None  # an adapter asks neither database nor vault while it is made
    return payment_providers(Settings(providers=providers, **settings), ManualClock(MONDAY), nothing, nothing)


class TestSettings:
    def test_make_both_rails(self) -> None:
        rails = made("ach,sepa", **ACH, **SEPA)
        assert [type(rail) for rail in rails.values()] == [GuardedRail] * 2
        assert Capture in rails["ach"].requests and rails["sepa"].requests == {Payout}
        assert (rails["ach"].accepts("USD"), rails["ach"].accepts("EUR")) == (True, False)
        assert (rails["sepa"].accepts("EUR"), rails["sepa"].accepts("USD")) == (True, False)

    @pytest.mark.parametrize(
        "providers, settings, says",
        [
            ("ach", {**ACH, "ach_origin": ""}, "needs BURSAR_ACH_ORIGIN$"),
            ("ach", {}, "BURSAR_ACH_ORIGIN, BURSAR_ACH_ORIGIN_NAME, BURSAR_ACH_DESTINATION"),
            ("ach", {**ACH, "ach_destination": "121042883"}, "BURSAR_ACH_DESTINATION"),
            ("ach", {**ACH, "ach_origin": "12"}, "BURSAR_ACH_ORIGIN has"),
            ("ach", {**ACH, "ach_company_id": "12345678901"}, "BURSAR_ACH_COMPANY_ID"),
            ("ach", {**ACH, "ach_cutoff": "4pm"}, "BURSAR_ACH_CUTOFF"),
            ("ach", {**ACH, "ach_settle_days": 0}, "BURSAR_ACH_SETTLE_DAYS"),
            ("sepa", {**SEPA, "sepa_name": ""}, "needs BURSAR_SEPA_NAME"),
            ("sepa", {**SEPA, "sepa_iban": "DE89370400440532013001"}, "BURSAR_SEPA_IBAN"),
            ("sepa", {**SEPA, "sepa_bic": "NOBIC"}, "BURSAR_SEPA_BIC"),
        ],
    )
    def test_that_cannot_be_used_are_named(self, providers: str, settings: dict[str, Any], says: str) -> None:
        with pytest.raises(SettingsError, match=says):
            made(providers, **settings)


class TestGuard:
    async def test_leaves_others_without_files(self) -> None:
        sandbox = Sandbox(books=None, clock=ManualClock(MONDAY), slow_seconds=0, authorization_days=7)
        assert not isinstance(guarded(sandbox, Limits()), BankRail)

    async def test_an_exchange_that_breaks_is_nothing_new(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        async def broken() -> list[BankNews]:
            raise OSError("the disk is full")

        rail = guarded(bank.provider, Limits())
        assert isinstance(rail, BankRail)
        monkeypatch.setattr(bank.provider, "exchange", broken)
        assert await rail.exchange() == []


@pytest.fixture
async def bank(database_url: str, tmp_path: Path) -> AsyncIterator[Bank]:
    async with opened(database_url, tmp_path) as opened_bank:
        yield opened_bank


class TestDatabase:
    @pytest.mark.parametrize(
        "change",
        [
            "amount = -1",
            "amount = 0",
            "currency = 'EUR'",
            "rail = 'SEPA'",
            "vault_record_id = null",
            "file_id = null",
            "trace_number = null",
            "effective_on = null",
            "settles_on = effective_on - 1",
            "status = 'QUEUED'",
            "status = 'AUTHORIZED'",
            "status = 'SETTLED'",
            "status = 'RETURNED'",
            "status = 'CANCELLED'",
            "return_code = 'R01'",
            "decline_code = 'account_closed'",
            "sec_code = 'TEL'",
            "description = null",
        ],
    )
    async def test_refuses_a_sent_entry_that_cannot_be(self, bank: Bank, change: str) -> None:
        await bank.do(authorization(capture=True))
        await bank.pass_days(1)
        assert [row[0] for row in await bank.rows("select status from bank_entries")] == ["SENT"]
        with pytest.raises(asyncpg.CheckViolationError):
            await bank.rows(f"update bank_entries set {change}")

    @pytest.mark.parametrize(
        "change", ["status = 'PREPARED'", "digest = null", "written_at = null", "total_debit = 0", "entry_count = 0"]
    )
    async def test_refuses_a_file_that_cannot_be(self, bank: Bank, change: str) -> None:
        await bank.do(authorization(capture=True))
        await bank.pass_days(1)
        with pytest.raises(asyncpg.CheckViolationError):
            await bank.rows(f"update bank_files set {change}")

    async def test_has_no_account_number_in_clear_anywhere(self, bank: Bank) -> None:
        outcome: Any = await bank.do(authorization())
        await bank.do(capture(outcome.reference, 1))
        await bank.do(payout())
        await bank.pass_days(1)
        for table in ("bank_entries", "bank_files", "bank_notices", "bank_files_read"):
            shown = str([dict(row) for row in await bank.rows(f"select * from {table}")])
            assert "12345678" not in shown
