"""The ACH adapter: what becomes of a request in the database, in files, and days later."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from bursar.providers.ach.nacha import read
from bursar.providers.port import Approved, BankAccount, Declined, Outcome, Pending, Unavailable, Unknown
from tests.providers.bank_setting import (
    MONDAY,
    NUMBER,
    Bank,
    account,
    authorization,
    capture,
    entries_of,
    micro_deposits,
    opened,
    payout,
    refund,
    returned,
    void,
)


@pytest.fixture
async def bank(database_url: str, tmp_path: Path) -> AsyncIterator[Bank]:
    async with opened(database_url, tmp_path) as opened_bank:
        yield opened_bank


def declined(outcome: Outcome) -> str:
    assert isinstance(outcome, Declined), outcome
    return outcome.decline_code


async def authorized(bank: Bank, amount: int = 5000) -> str:
    outcome = await bank.do(authorization(amount))
    assert isinstance(outcome, Approved), outcome
    return outcome.reference


async def charged(bank: Bank, amount: int = 5000) -> str:
    """The reference of a charge that has arrived."""
    request = authorization(amount, capture=True)
    await bank.do(request)
    await bank.pass_days(6)
    outcome = await bank.ask(request)
    assert isinstance(outcome, Approved), outcome
    return outcome.reference


class TestAuthorize:
    async def test_is_approved_at_once_and_sends_nothing(self, bank: Bank) -> None:
        request = authorization()
        outcome = await bank.do(request)
        assert outcome == Approved(f"ach_{request.key}", expires_at=MONDAY + timedelta(days=7))
        await bank.pass_days(2)
        assert bank.outgoing() == []
        assert await bank.ask(request) == outcome

    async def test_a_charge_is_pending_until_its_days_have_passed(self, bank: Bank) -> None:
        request = authorization(4711, capture=True)
        assert await bank.do(request) == Pending()
        for _ in range(4):  # sent on Monday for Tuesday, paid on Friday
            assert await bank.ask(request) == Pending()
            await bank.pass_days(1)
        assert await bank.ask(request) == Pending()
        await bank.pass_days(1)
        assert await bank.ask(request) == Approved(f"ach_{request.key}", step_reference=f"ach_{request.key}")

    async def test_the_account_number_lies_in_the_vault_alone(self, bank: Bank) -> None:
        await bank.do(authorization(capture=True))
        row = (await bank.rows("select * from bank_entries"))[0]
        assert NUMBER not in str(dict(row))
        kept = await bank.vault.open(row["vault_record_id"])
        assert kept is not None and msgspec.json.decode(kept, type=BankAccount).account_number == NUMBER

    @pytest.mark.parametrize(
        "changes, code",
        [
            ({"currency": "EUR"}, "currency_not_supported"),
            ({"amount": 0}, "amount_too_small"),
            ({"amount": 10**10}, "amount_too_large"),
            ({"instrument": account(routing_number="231380105")}, "invalid_routing_number"),
            ({"instrument": account("1" * 18)}, "invalid_account_number"),
            ({"instrument": account("12 ")}, "invalid_account_number"),
            ({"instrument": account(account_type="LOAN")}, "invalid_account_number"),
            ({"instrument": account(routing_number=None)}, "invalid_account_number"),
        ],
    )
    async def test_what_no_file_can_carry_is_declined_for_good(self, bank: Bank, changes: dict, code: str) -> None:
        request = authorization(**changes)
        assert declined(await bank.do(request)) == code
        assert declined(await bank.do(request)) == code
        assert declined(await bank.ask(request)) == code
        assert (await bank.rows("select vault_record_id from bank_entries"))[0][0] is None


class TestCapture:
    async def test_takes_part_after_part_and_no_more(self, bank: Bank) -> None:
        reference = await authorized(bank)
        assert await bank.do(capture(reference, 2000, is_final=False)) == Pending()
        assert declined(await bank.do(capture(reference, 3001))) == "amount_not_capturable"
        assert await bank.do(capture(reference, 3000, is_final=False)) == Pending()
        assert declined(await bank.do(capture(reference, 1))) == "already_captured"
        await bank.pass_days(1)
        assert [entry.amount for entry in entries_of(*bank.outgoing())] == [2000, 3000]

    async def test_a_final_one_gives_the_rest_up(self, bank: Bank) -> None:
        reference = await authorized(bank)
        assert await bank.do(capture(reference, 2000)) == Pending()
        assert declined(await bank.do(capture(reference, 1))) == "already_captured"

    async def test_of_what_is_not_there(self, bank: Bank) -> None:
        assert declined(await bank.do(capture("ach_nothing", 1))) == "processing_error"

    async def test_may_be_presented_twice_more_where_funds_were_missing(self, bank: Bank) -> None:
        reference = await authorized(bank)
        for number in range(3):
            request = capture(reference, 5000)
            assert await bank.do(request) == Pending()
            file = await bank.send()
            sent = entries_of(file)[0]
            assert read(file).batches[0].header.entry_description == ("RETRY PYMT" if number else "PAYMENT")
            bank.bring(f"{number}.ach", returned(file, sent, "R01"))
            await bank.exchange()
            assert declined(await bank.ask(request)) == "insufficient_funds"
        assert declined(await bank.do(capture(reference, 5000))) == "insufficient_funds"
        assert len(bank.outgoing()) == 3

    async def test_is_not_presented_again_where_the_account_is_closed(self, bank: Bank) -> None:
        reference = await authorized(bank)
        await bank.do(capture(reference, 5000))
        await bank.pass_days(1)
        bank.bring("back.ach", returned(bank.outgoing()[0], entries_of(*bank.outgoing())[0], "R02"))
        await bank.exchange()
        assert declined(await bank.do(capture(reference, 5000))) == "account_closed"


class TestVoid:
    async def test_gives_back_what_was_not_sent(self, bank: Bank) -> None:
        reference = await authorized(bank)
        taken = capture(reference, 2000, is_final=False)
        await bank.do(taken)
        assert await bank.do(void(reference)) == Approved(reference, step_reference=(await self.voids(bank))[0])
        assert declined(await bank.ask(taken)) == "already_voided"
        assert declined(await bank.do(capture(reference, 1))) == "already_voided"
        assert declined(await bank.do(void(reference))) == "already_voided"
        await bank.pass_days(2)
        assert bank.outgoing() == []

    async def voids(self, bank: Bank) -> list[str]:
        return ["ach_" + row[0] for row in await bank.rows("select key from bank_entries where kind = 'VOID'")]

    async def test_of_a_charge_that_was_not_sent(self, bank: Bank) -> None:
        request = authorization(capture=True)
        await bank.do(request)
        assert isinstance(await bank.do(void(f"ach_{request.key}")), Approved)
        assert declined(await bank.ask(request)) == "already_voided"

    async def test_comes_too_late_for_what_was_sent(self, bank: Bank) -> None:
        request = authorization(capture=True)
        await bank.do(request)
        await bank.pass_days(1)
        assert declined(await bank.do(void(f"ach_{request.key}"))) == "already_captured"
        assert await bank.ask(request) == Pending()

    async def test_gives_back_the_rest_of_what_was_taken_in_part(self, bank: Bank) -> None:
        reference = await authorized(bank)
        await bank.do(capture(reference, 2000, is_final=False))
        await bank.pass_days(1)
        assert isinstance(await bank.do(void(reference)), Approved)
        assert declined(await bank.do(capture(reference, 1))) == "already_voided"
        await bank.pass_days(6)
        assert isinstance(await bank.do(refund(reference, 2000)), Pending)


class TestRefund:
    async def test_is_a_credit_to_the_same_account_and_settles_like_one(self, bank: Bank) -> None:
        reference = await charged(bank)
        request = refund(reference, 1500)
        assert await bank.do(request) == Pending()
        sent = entries_of(await bank.send())[0]
        assert (sent.transaction_code, sent.amount, sent.account_number) == (22, 1500, NUMBER)
        await bank.pass_days(6)
        assert await bank.ask(request) == Approved(reference, step_reference=f"ach_{request.key}")

    async def test_gives_no_more_back_than_has_arrived(self, bank: Bank) -> None:
        request = authorization(capture=True)
        await bank.do(request)
        assert declined(await bank.do(refund(f"ach_{request.key}", 1))) == "amount_not_refundable"
        reference = await charged(bank)
        assert await bank.do(refund(reference, 4000)) == Pending()
        assert declined(await bank.do(refund(reference, 1001))) == "amount_not_refundable"
        assert await bank.do(refund(reference, 1000)) == Pending()


class TestPayout:
    async def test_goes_out_as_a_credit_that_says_what_it_is(self, bank: Bank) -> None:
        request = payout(9900, instrument=account("99887766", account_type="SAVINGS"))
        assert await bank.do(request) == Pending()
        await bank.pass_days(1)
        header = read(bank.outgoing()[0]).batches[0].header
        sent = entries_of(*bank.outgoing())[0]
        assert (header.sec_code, header.entry_description) == ("CCD", "PAYOUT")
        assert (sent.transaction_code, sent.amount, sent.account_number) == (32, 9900, "99887766")
        assert sent.addenda[0].information == "PAYOUT 4711"

    async def test_that_comes_back_is_declined(self, bank: Bank) -> None:
        request = payout()
        await bank.do(request)
        await bank.pass_days(1)
        bank.bring("back.ach", returned(bank.outgoing()[0], entries_of(*bank.outgoing())[0], "R03"))
        await bank.exchange()
        assert declined(await bank.ask(request)) == "account_not_found"


class TestMicroDeposits:
    async def test_are_two_credits_in_a_batch_that_says_so(self, bank: Bank) -> None:
        request = micro_deposits()
        assert await bank.do(request) == Pending()
        assert await bank.do(request) == Pending()
        await bank.pass_days(1)
        batch = read(bank.outgoing()[0]).batches[0]
        assert batch.header.entry_description == "ACCTVERIFY"
        assert sorted(entry.amount for entry in entries_of(*bank.outgoing())) == [32, 45]
        await bank.pass_days(5)
        assert isinstance(await bank.ask(request), Approved)

    async def test_one_that_comes_back_is_told_until_it_is_acknowledged(self, bank: Bank) -> None:
        request = micro_deposits()
        await bank.do(request)
        await bank.pass_days(1)
        bank.bring("back.ach", returned(bank.outgoing()[0], entries_of(*bank.outgoing())[1], "R04"))
        for _ in range(2):
            (news,) = await bank.exchange()
            assert (news.method_id, news.key) == (request.instrument.id, request.key)
            assert (news.code, news.failure_code, news.is_verification) == ("R04", "invalid_account_number", True)
        assert declined(await bank.ask(request)) == "invalid_account_number"
        await bank.provider.acknowledge([news.id])
        assert await bank.exchange() == []


class TestOneKey:
    @pytest.mark.parametrize(
        "request_of",
        [
            authorization,
            lambda: authorization(capture=True),
            payout,
            micro_deposits,
        ],
    )
    async def test_has_one_effect_and_one_outcome(self, bank: Bank, request_of) -> None:
        request = request_of()
        outcomes = [await bank.do(request) for _ in range(3)]
        bank.clock.advance(timedelta(hours=3))
        outcomes += [await bank.do(request), await bank.ask(request)]
        assert outcomes == outcomes[:1] * 5
        records = await bank.rows("select distinct vault_record_id from bank_entries")
        assert len(records) == 1

    async def test_of_steps_on_a_payment(self, bank: Bank) -> None:
        reference = await authorized(bank)
        for request in (capture(reference, 1000, is_final=False), void(reference)):
            outcomes = [await bank.do(request), await bank.do(request), await bank.ask(request)]
            assert outcomes == outcomes[:1] * 3 and isinstance(outcomes[0], Pending | Approved)

    async def test_with_other_content_is_unknown_and_does_nothing(self, bank: Bank) -> None:
        request = authorization(capture=True)
        await bank.do(request)
        for change in ({"amount": 1}, {"capture": False}, {"instrument": account()}):
            other = msgspec.structs.replace(request, **change)
            assert isinstance(await bank.do(other), Unknown)
            assert isinstance(await bank.ask(other), Unknown)
        await bank.pass_days(1)
        assert [entry.amount for entry in entries_of(*bank.outgoing())] == [5000]

    async def test_survives_a_corrected_account(self, bank: Bank) -> None:
        """The payment method's numbers may have been put right between a step and the question what became of it."""
        request = authorization(capture=True)
        await bank.do(request)
        put_right = msgspec.structs.replace(request.instrument, bank_account=account("777").bank_account)
        assert await bank.ask(msgspec.structs.replace(request, instrument=put_right)) == Pending()

    @pytest.mark.parametrize("request_of", [authorization, payout, micro_deposits, lambda: void("ach_nothing")])
    async def test_that_nobody_saw_is_dead_from_the_inquiry_on(self, bank: Bank, request_of) -> None:
        request = request_of()
        for ask in (bank.ask, bank.do, bank.ask):
            assert isinstance(await ask(request), Unavailable)
        await bank.pass_days(2)
        assert bank.outgoing() == []

    async def test_is_not_known_while_the_database_is_away(self, bank: Bank) -> None:
        await bank.database.pool.close()
        assert isinstance(await bank.do(authorization()), Unknown)
        assert isinstance(await bank.ask(authorization()), Unknown)
