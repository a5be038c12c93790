"""Settlement files over HTTP: taken, read, matched, booked, and their differences explained."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from tests.conftest import Serve
from tests.support.api import json_of, problem_of
from tests.support.reconciliations import (
    FEES,
    PATH,
    Bookkeeper,
    Captured,
    captured,
    counts,
    fee_of,
    net_of,
    payout,
    row_of,
    stripe_csv,
    verify_books,
)

CLEARING = ("provider:sandbox:clearing", "EUR")
SUSPENSE = ("suspense", "EUR")
FEE_ACCOUNT = ("provider_fees", "EUR")


@pytest.fixture
async def ann(serve: Serve) -> AsyncIterator[Bookkeeper]:
    """A bookkeeper of a service of the test's own, whose books are verified at the end."""
    async with serve(provider_fees=FEES) as service:
        yield Bookkeeper(service)
        await verify_books(service)


def yesterday(ann: Bookkeeper) -> datetime:
    return (ann.service.clock.now() - timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)


async def three(ann: Bookkeeper) -> list[Captured]:
    return await captured(ann.service, [1000, 2000, 3000], at=yesterday(ann))


class TestReconciling:
    async def test_a_file_that_agrees_books_its_fees_and_its_payouts(self, ann: Bookkeeper) -> None:
        captures = await three(ann)
        rows = [row_of(capture) for capture in captures]
        fees = sum(fee_of(capture.amount) for capture in captures)
        paid = payout(1, 6000 - fees, yesterday(ann))
        begun = await ann.bring(stripe_csv([*rows, paid]))
        taken = json_of(begun, 202)
        assert begun.headers["location"] == f"{PATH}/{taken['id']}"
        assert (taken["status"], taken["format"], taken["requestedBy"]) == ("RECEIVED", "STRIPE_BALANCE_CSV", "ann")
        await ann.service.run_jobs()
        done = await ann.show(taken["id"])
        assert done["status"] == "COMPLETED" and done["rowCount"] == 4 and counts(done) == {"MATCHED": 4}
        assert done["totals"] == [
            {"currency": "EUR", "gross": fees, "fee": fees, "net": 0, "matched": 0, "suspense": 0}
        ]
        balances = await ann.balances()
        assert balances[FEE_ACCOUNT] == fees
        assert balances["bank:main", "EUR"] == 6000 - fees
        assert CLEARING not in balances and SUSPENSE not in balances

    async def test_the_same_file_again_answers_the_same_reconciliation(self, ann: Bookkeeper) -> None:
        content = stripe_csv(row_of(capture) for capture in await three(ann))
        done = await ann.reconcile(content)
        again = json_of(await ann.colleague().bring(content), 200)
        assert again == done
        assert await ann.service.run_jobs() == 0
        assert len(json_of(await ann.api.get(PATH), 200)["data"]) == 1

    async def test_afterwards_the_account_says_what_the_provider_says(self, ann: Bookkeeper) -> None:
        one, two, three_ = await three(ann)
        rows = [
            row_of(one).changed(gross=900),
            row_of(two).changed(fee=200),
            payout(1, 500, yesterday(ann)),
            row_of(one).changed(id="txn_unknown", intent="pi_unknown", source="ch_unknown"),
        ]
        done = await ann.reconcile(stripe_csv(rows))
        assert counts(done) == {"MATCHED": 1, "AMOUNT": 1, "FEE": 1, "MISSING_WITH_US": 1, "MISSING_WITH_THEM": 1}
        balances = await ann.balances()
        assert balances[CLEARING] == net_of(rows)["EUR"]
        assert balances[SUSPENSE] == done["totals"][0]["suspense"]
        missing = (await ann.differences(done["id"]))["MISSING_WITH_THEM"][0]
        assert missing["paymentId"] == three_.payment_id and missing["suspense"] == {"EUR": 3000}
        timeline = json_of(await ann.api.get(f"/api/v1/payments/core/{three_.payment_id}/timeline"), 200)["data"]
        assert timeline[-1]["type"] == "reconciliation_item.found"

    async def test_another_currency(self, ann: Bookkeeper) -> None:
        one, *_ = await captured(ann.service, [1000], at=yesterday(ann))
        done = await ann.reconcile(stripe_csv([row_of(one).changed(currency="USD")]))
        assert counts(done) == {"CURRENCY": 1}
        balances = await ann.balances()
        assert CLEARING not in balances and balances[SUSPENSE] == 1000
        assert balances["provider:sandbox:clearing", "USD"] == 1000 - fee_of(1000) == -balances["suspense", "USD"]

    async def test_a_reference_that_reads_like_a_card_number_is_matched_and_not_stored(self, ann: Bookkeeper) -> None:
        (one,) = await captured(ann.service, [1000], at=yesterday(ann))
        name = "4242424242424242"
        await ann.service.fetch("update payments set provider_transaction_id = $2 where id = $1", one.payment_id, name)
        done = await ann.reconcile(stripe_csv([row_of(one)._replace(intent=name)]))
        (item,) = await ann.items(done["id"])
        assert item["kind"] == "MATCHED" and name not in str(item)

    async def test_thousandths_are_counted(self, ann: Bookkeeper) -> None:
        captures = await captured(ann.service, [12_345], at=yesterday(ann), currency="KWD")
        assert counts(await ann.reconcile(stripe_csv([row_of(captures[0])]))) == {"MATCHED": 1}

    async def test_a_capture_outside_the_period_is_found_by_its_reference(self, ann: Bookkeeper) -> None:
        long_ago = yesterday(ann) - timedelta(days=60)
        (old,) = await captured(ann.service, [1000], at=long_ago)
        done = await ann.reconcile(stripe_csv([row_of(old).changed(at=yesterday(ann))]))
        assert counts(done) == {"LATE": 1}
        undone = row_of(old).changed(
            id="txn_r", at=yesterday(ann), gross=-1000, fee=0, category="refund", source="re_1"
        )
        assert counts(await ann.reconcile(stripe_csv([undone]))) == {"STATUS": 1}


class TestPeriods:
    async def test_rows_of_an_earlier_file_are_repeated_and_not_booked_again(self, ann: Bookkeeper) -> None:
        rows = [row_of(capture) for capture in await three(ann)]
        await ann.reconcile(stripe_csv(rows[:2]), until=_text(yesterday(ann)), **{"from": _text(_before(ann))})
        balances = await ann.balances()
        done = await ann.reconcile(stripe_csv(rows))
        assert counts(done) == {"REPEATED": 2, "MATCHED": 1}
        assert (await ann.balances())[FEE_ACCOUNT] == balances[FEE_ACCOUNT] + fee_of(3000)

    async def test_what_comes_with_a_later_file_resolves_what_was_missing_with_them(self, ann: Bookkeeper) -> None:
        rows = [row_of(capture) for capture in await three(ann)]
        first = await ann.reconcile(stripe_csv(rows[:2]))
        assert counts(first) == {"MATCHED": 2, "MISSING_WITH_THEM": 1}
        second = await ann.reconcile(stripe_csv([rows[2].changed(at=yesterday(ann) + timedelta(hours=14))]))
        assert counts(second) == {"MATCHED": 1}
        (resolved,) = await ann.items(first["id"], kind="MISSING_WITH_THEM")
        assert resolved["status"] == "RESOLVED"
        (item,) = await ann.items(second["id"])
        assert item["resolves"] == resolved["id"]
        balances = await ann.balances()
        assert SUSPENSE not in balances and balances[CLEARING] == net_of(rows)["EUR"]

    async def test_what_we_book_later_resolves_what_was_missing_with_us(self, ann: Bookkeeper) -> None:
        (known,) = await captured(ann.service, [500], at=yesterday(ann) - timedelta(days=1))
        late = row_of(known)._replace(intent="pi_late", id="txn_late").changed(gross=1000, fee=fee_of(1000))
        first = await ann.reconcile(stripe_csv([row_of(known), late]))
        assert counts(first) == {"MATCHED": 1, "MISSING_WITH_US": 1}
        (ours,) = await captured(ann.service, [1000], at=yesterday(ann))
        await ann.service.fetch(
            "update payments set provider_transaction_id = 'pi_late' where id = $1", ours.payment_id
        )
        second = await ann.reconcile(stripe_csv([payout(1, 100, yesterday(ann))]))
        assert counts(second) == {"MATCHED": 2}
        (resolved,) = await ann.items(first["id"], kind="MISSING_WITH_US")
        assert resolved["status"] == "RESOLVED"
        balances = await ann.balances()
        assert SUSPENSE not in balances
        assert balances[CLEARING] == 500 - fee_of(500) + 1000 - fee_of(1000) - 100

    async def test_only_what_moved_in_the_period_is_missed(self, ann: Bookkeeper) -> None:
        rows = [row_of(capture) for capture in await three(ann)]
        period = {"from": _text(_before(ann)), "until": _text(yesterday(ann) - timedelta(hours=1))}
        done = await ann.reconcile(stripe_csv(rows[:1]), **period)
        assert counts(done) == {"MATCHED": 1}
        assert (done["from"], done["until"]) == (period["from"], period["until"])


def _before(ann: Bookkeeper) -> datetime:
    return yesterday(ann) - timedelta(days=1)


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


class TestExplaining:
    async def missing(self, ann: Bookkeeper) -> dict[str, object]:
        """An item of 3,000 that is missing with them."""
        rows = [row_of(capture) for capture in await three(ann)]
        done = await ann.reconcile(stripe_csv(rows[:2]))
        return dict((await ann.differences(done["id"]))["MISSING_WITH_THEM"][0])

    async def test_moves_the_money_out_of_suspense_and_keeps_who_said_why(self, ann: Bookkeeper) -> None:
        item = await self.missing(ann)
        explained = json_of(await ann.colleague().explain(item, account="dispute_losses"), 200)
        assert explained["status"] == "EXPLAINED"
        (told,) = explained["explanations"]
        assert (told["author"], told["account"]) == ("ben", "dispute_losses")
        balances = await ann.balances()
        assert SUSPENSE not in balances and balances["dispute_losses", "EUR"] == 3000

    async def test_without_an_account_it_goes_back_to_clearing(self, ann: Bookkeeper) -> None:
        item = await self.missing(ann)
        before = (await ann.balances())[CLEARING]
        json_of(await ann.colleague().explain(item), 200)
        balances = await ann.balances()
        assert SUSPENSE not in balances and balances[CLEARING] == before + 3000

    async def test_a_second_word_is_a_note_and_a_second_account_is_refused(self, ann: Bookkeeper) -> None:
        item, ben = await self.missing(ann), ann.colleague()
        json_of(await ben.explain(item), 200)
        noted = json_of(await ben.explain(item, explanation="and again"), 200)
        assert [told["explanation"] for told in noted["explanations"]] == ["seen with the provider", "and again"]
        problem_of(await ben.explain(item, account="provider_fees"), 409, "invalid_state_transition")

    async def test_whoever_brought_the_file_may_not_explain(self, ann: Bookkeeper) -> None:
        item = await self.missing(ann)
        problem_of(await ann.explain(item), 403, "explained_by_uploader")
        admin = Bookkeeper(ann.service)
        admin.api = ann.service.api.as_("admin", subject="ann")
        problem_of(await admin.explain(item), 403, "explained_by_uploader")

    async def test_what_agrees_needs_no_explanation(self, ann: Bookkeeper) -> None:
        item = await self.missing(ann)
        (matched, *_) = await ann.items(str(item["reconciliationId"]), kind="MATCHED")
        problem_of(await ann.colleague().explain(matched), 409, "invalid_state_transition")

    async def test_an_item_of_another_reconciliation_is_not_found(self, ann: Bookkeeper) -> None:
        item = await self.missing(ann)
        other = await ann.reconcile(stripe_csv([payout(1, 100, yesterday(ann))]))
        problem_of(await ann.colleague().explain({**item, "reconciliationId": other["id"]}), 404, "not_found")

    async def test_an_explained_movement_that_comes_after_all_is_a_duplicate(self, ann: Bookkeeper) -> None:
        rows = [row_of(capture) for capture in await three(ann)]
        first = await ann.reconcile(stripe_csv(rows[:2]))
        (item,) = (await ann.differences(first["id"]))["MISSING_WITH_THEM"]
        json_of(await ann.colleague().explain(item, account="dispute_losses"), 200)
        assert counts(await ann.reconcile(stripe_csv(rows[2:]))) == {"DUPLICATE": 1}

    async def test_one_that_was_explained_as_right_in_our_books_is_matched_when_it_comes(self, ann: Bookkeeper) -> None:
        rows = [row_of(capture) for capture in await three(ann)]
        first = await ann.reconcile(stripe_csv(rows[:2]))
        (item,) = (await ann.differences(first["id"]))["MISSING_WITH_THEM"]
        json_of(await ann.colleague().explain(item, account="clearing"), 200)
        assert counts(await ann.reconcile(stripe_csv([*rows[:2], payout(1, 5, yesterday(ann))]))) == {
            "REPEATED": 2,
            "MATCHED": 1,
        }
        assert counts(await ann.reconcile(stripe_csv(rows[2:]))) == {"MATCHED": 1}
        clearing = (await ann.balances())["provider:sandbox:clearing", "EUR"]
        assert clearing == net_of(rows)["EUR"] - 5
        again = rows[2].changed(id="again")
        assert counts(await ann.reconcile(stripe_csv([again]))) == {"DUPLICATE": 1}
