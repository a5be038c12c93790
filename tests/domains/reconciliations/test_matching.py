"""Matching: each kind of difference is named, nothing else is, and the account then says what they say."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.domains.reconciliations.fees import Fee, FeesUnreadable, load
from bursar.domains.reconciliations.matching import Finding, Ours, Rules, match, settle_earlier, strangers
from bursar.domains.reconciliations.model import Kind, Movement, Row

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
FEES = {"EUR": Fee(Decimal("0.029"), 30)}
RULES = Rules(late=timedelta(days=3), fees=FEES)
NOTHING: frozenset[str] = frozenset()


def ours(number: int, amount: int = 1000, **changes: Any) -> Ours:
    """A capture of payment `number`."""
    made = Ours(
        journal_id=f"journal-{number}",
        group=f"payment-{number}",
        movement=Movement.CHARGE,
        references=(f"pi_{number}", f"attempt-{number}"),
        currency="EUR",
        amount=amount,
        fee=0,
        occurred_at=NOW + timedelta(seconds=number),
        payment_id=f"payment-{number}",
    )
    return msgspec.structs.replace(made, **changes)


def theirs(number: int, gross: int = 1000, **changes: Any) -> Row:
    """The row of that capture, with the fee that FEES say."""
    fee = changes.get("fee", FEES["EUR"].expected(gross))
    made = Row(
        key=f"row:txn_{number}",
        id=f"txn_{number}",
        line=number + 2,
        movement=Movement.CHARGE,
        references=(f"pi_{number}",),
        currency="EUR",
        gross=gross,
        fee=fee,
        net=gross - fee,
        occurred_at=NOW + timedelta(seconds=number, milliseconds=500),
    )
    return msgspec.structs.replace(made, **changes)


def matched(rows: list[Row], movements: list[Ours], rules: Rules = RULES) -> list[Finding]:
    findings = match(rows, movements, rules, repeated=NOTHING)
    assert_account_follows(findings)
    return findings


def assert_account_follows(findings: list[Finding]) -> None:
    """After booking, the account has moved by what they say, in each currency."""
    booked, said = Counter[str](), Counter[str]()
    for finding in findings:
        if finding.ours is not None:
            booked[finding.ours.currency] += finding.ours.amount - finding.ours.fee
        if finding.row is not None:
            if finding.kind is not Kind.REPEATED:
                said[finding.row.currency] += finding.row.net
            booked[finding.row.currency] -= finding.fee + finding.payout
        for currency, amount in finding.suspense.items():
            booked[currency] -= amount
    assert {c: a for c, a in booked.items() if a} == {c: a for c, a in said.items() if a}


def kinds(findings: list[Finding]) -> list[str]:
    return [finding.kind.value for finding in findings]


class TestKinds:
    def test_what_agrees_is_matched_and_its_fee_is_the_providers(self) -> None:
        (finding,) = matched([theirs(1)], [ours(1)])
        assert (finding.kind, finding.fee, finding.suspense) == (Kind.MATCHED, 59, {})

    def test_what_they_alone_have_is_missing_with_us(self) -> None:
        (finding,) = matched([theirs(1)], [])
        assert (finding.kind, finding.suspense) == (Kind.MISSING_WITH_US, {"EUR": -941})

    def test_what_we_alone_have_is_missing_with_them(self) -> None:
        (finding,) = matched([], [ours(1)])
        assert (finding.kind, finding.suspense) == (Kind.MISSING_WITH_THEM, {"EUR": 1000})

    def test_what_is_not_due_is_not_missed(self) -> None:
        assert matched([], [ours(1, is_due=False)]) == []

    def test_another_amount(self) -> None:
        (finding,) = matched([theirs(1, 990)], [ours(1)])
        assert (finding.kind, finding.suspense) == (Kind.AMOUNT, {"EUR": 10})

    def test_another_currency_lies_in_suspense_in_both(self) -> None:
        (finding,) = matched([theirs(1, currency="USD")], [ours(1)])
        assert (finding.kind, finding.suspense) == (Kind.CURRENCY, {"USD": -941, "EUR": 1000})

    def test_another_fee_than_agreed(self) -> None:
        (finding,) = matched([theirs(1, fee=80)], [ours(1)])
        assert (finding.kind, finding.fee, finding.expected_fee, finding.suspense) == (Kind.FEE, 59, 59, {"EUR": 21})

    def test_gross_less_fee_has_to_be_net_even_where_nobody_knows_the_fee(self) -> None:
        (finding,) = matched([theirs(1, net=900)], [ours(1)], Rules(late=RULES.late, fees={}))
        assert (finding.kind, finding.fee, finding.suspense) == (Kind.FEE, 59, {"EUR": 41})

    @pytest.mark.parametrize("fee", [14, 15])
    def test_a_fee_may_be_rounded_either_way(self, fee: int) -> None:
        rules = Rules(late=RULES.late, fees={"EUR": Fee(Decimal("0.029"), 0)})
        (finding,) = matched([theirs(1, 500, fee=fee)], [ours(1, 500)], rules)
        assert finding.kind is Kind.MATCHED

    def test_the_same_row_twice(self) -> None:
        findings = matched([theirs(1), theirs(1, key="row:txn_1#2", line=9)], [ours(1)])
        assert kinds(findings) == ["MATCHED", "DUPLICATE"]
        assert findings[1].suspense == {"EUR": -941}

    def test_two_rows_of_one_capture(self) -> None:
        findings = matched([theirs(1), theirs(2, references=("pi_1",))], [ours(1)])
        assert kinds(findings) == ["MATCHED", "DUPLICATE"]
        assert findings[1].payment_id == "payment-1"

    def test_a_capture_that_an_earlier_file_had_is_a_duplicate(self) -> None:
        assert kinds(matched([theirs(1)], [ours(1, is_spent=True, is_due=False)])) == ["DUPLICATE"]

    def test_another_capture_that_we_do_not_know_is_no_duplicate(self) -> None:
        findings = matched([theirs(1), theirs(2, 370, references=("pi_1",))], [ours(1)])
        assert kinds(findings) == ["MATCHED", "MISSING_WITH_US"]

    def test_more_than_three_days_later_is_late(self) -> None:
        at = ours(1).occurred_at
        assert kinds(matched([theirs(1, occurred_at=at + timedelta(days=3))], [ours(1)])) == ["MATCHED"]
        late = theirs(1, occurred_at=at + timedelta(days=3, seconds=1))
        (finding,) = matched([late], [ours(1)])
        assert (finding.kind, finding.fee, finding.suspense) == (Kind.LATE, 59, {})

    @pytest.mark.parametrize("movement", [Movement.REFUND, Movement.DISPUTE, Movement.FAILURE])
    def test_what_did_not_stay_where_we_say_captured(self, movement: Movement) -> None:
        undone = theirs(2, -1000, fee=0, movement=movement, references=("re_1", "pi_1"))
        beside = matched([theirs(1), undone], [ours(1)])
        assert kinds(beside) == ["MATCHED", "STATUS"] and beside[1].payment_id == "payment-1"
        instead = matched([undone], [ours(1)])
        assert kinds(instead) == ["STATUS"] and instead[0].suspense == {"EUR": 2000}

    def test_payouts_and_fees_are_booked_as_they_come(self) -> None:
        payout = theirs(1, -5000, fee=0, movement=Movement.PAYOUT, references=("po_1",))
        fee = theirs(2, -120, fee=0, movement=Movement.FEE, references=())
        paid, kept = matched([payout, fee], [])
        assert (paid.kind, paid.payout, paid.fee) == (Kind.MATCHED, 5000, 0)
        assert (kept.kind, kept.payout, kept.fee) == (Kind.MATCHED, 0, 120)

    def test_an_instant_payout_costs_a_fee(self) -> None:
        (paid,) = matched([theirs(1, -5000, fee=50, movement=Movement.PAYOUT)], [])
        assert (paid.kind, paid.payout, paid.fee, paid.suspense) == (Kind.MATCHED, 5000, 50, {})

    def test_what_an_earlier_file_told_is_repeated(self) -> None:
        (finding,) = match([theirs(1)], [ours(1, is_spent=True)], RULES, repeated=frozenset({"txn_1"}))
        assert (finding.kind, finding.fee, finding.suspense) == (Kind.REPEATED, 0, {})

    def test_a_disputes_fee_was_booked_with_it(self) -> None:
        dispute = ours(1, -1000, fee=1500, movement=Movement.DISPUTE, references=("dp_1", "pi_1"))
        row = theirs(1, -1000, fee=1500, movement=Movement.DISPUTE, references=("dp_1",))
        (finding,) = matched([row], [dispute])
        assert (finding.kind, finding.fee, finding.suspense) == (Kind.MATCHED, 0, {})
        (finding,) = matched([msgspec.structs.replace(row, fee=2000, net=-3000)], [dispute])
        assert (finding.kind, finding.fee, finding.suspense) == (Kind.FEE, 0, {"EUR": 500})


class TestGroups:
    def test_captures_of_one_payment_are_paired_by_amount_then_by_time(self) -> None:
        captures = [
            ours(n, amount, group="payment-1", references=("pi_1",)) for n, amount in enumerate([300, 500, 300], 1)
        ]
        rows = [theirs(n, amount, references=("pi_1",)) for n, amount in enumerate([500, 300, 300], 1)]
        findings = matched(rows, captures)
        assert kinds(findings) == ["MATCHED"] * 3
        assert [finding.ours.journal_id for finding in findings if finding.ours] == [
            "journal-2",
            "journal-1",
            "journal-3",
        ]

    def test_refunds_of_one_payment_are_paired_by_their_own_reference_first(self) -> None:
        refunds = [
            ours(n, -200, group="payment-1", movement=Movement.REFUND, references=(f"re_{n}", "pi_1")) for n in (1, 2)
        ]
        rows = [theirs(n, -200, fee=0, movement=Movement.REFUND, references=(f"re_{3 - n}", "pi_1")) for n in (1, 2)]
        findings = matched(rows, refunds)
        assert kinds(findings) == ["MATCHED", "MATCHED"]
        assert [finding.ours.references[0] for finding in findings if finding.ours] == ["re_2", "re_1"]

    def test_a_refund_is_no_capture_of_the_same_payment(self) -> None:
        refund = ours(2, -1000, group="payment-1", movement=Movement.REFUND, references=("re_1", "pi_1"))
        assert kinds(matched([theirs(1)], [ours(1), refund])) == ["MATCHED", "MISSING_WITH_THEM"]

    def test_a_refund_that_names_only_the_providers_id_of_a_charge_of_this_file(self) -> None:
        charge = theirs(1, references=("pi_1", "5TX"))
        refund = theirs(2, -400, fee=0, movement=Movement.REFUND, references=("6TX", "5TX"))
        findings = matched([refund, charge], [ours(1)])
        assert kinds(findings) == ["STATUS", "MATCHED"] and findings[0].payment_id == "payment-1"

    def test_what_we_know_a_row_by_counts_before_what_was_learned(self) -> None:
        rows = [theirs(1, references=("shared", "pi_1")), theirs(2, references=("shared", "pi_2"))]
        assert kinds(matched(rows, [ours(1), ours(2)])) == ["MATCHED", "MATCHED"]

    def test_rows_without_a_movement_left_are_strangers(self) -> None:
        rows = [theirs(1), theirs(2, references=("pi_1",)), theirs(3), theirs(4, movement=Movement.PAYOUT)]
        assert [row.id for row in strangers(rows, [ours(1)])] == ["txn_2", "txn_3"]


class TestEarlier:
    def test_a_row_that_waited_for_our_movement_settles_it(self) -> None:
        waiting = theirs(1, key="item-1", closes="item-1")
        (finding,) = settle_earlier(matched([], [ours(1)]), [waiting], RULES)
        assert finding.kind is Kind.MATCHED and finding.row == waiting and finding.key == "ours:journal-1"

    def test_one_row_settles_one_movement(self) -> None:
        twins = [ours(n, group="payment-1", references=("pi_1",)) for n in (1, 2)]
        waiting = theirs(1, key="item-1", closes="item-1")
        assert kinds(settle_earlier(matched([], twins), [waiting], RULES)) == ["MATCHED", "MISSING_WITH_THEM"]

    def test_a_row_of_another_amount_settles_nothing(self) -> None:
        waiting = theirs(1, 900, key="item-1", closes="item-1")
        assert kinds(settle_earlier(matched([], [ours(1)]), [waiting], RULES)) == ["MISSING_WITH_THEM"]


class TestBank:
    LOOSE = Rules(late=timedelta(days=3), fees={}, is_loose=True)

    def entry(self, number: int, amount: int, **changes: Any) -> Row:
        return theirs(number, amount, fee=0, movement=Movement.ENTRY, **changes)

    def booked(self, number: int, amount: int, **changes: Any) -> Ours:
        return ours(number, amount, movement=Movement.ENTRY, group=f"journal-{number}", payment_id=None, **changes)

    def test_entries_are_paired_by_reference_whatever_the_time(self) -> None:
        row = self.entry(1, 700, references=("po_1",), occurred_at=NOW + timedelta(days=20))
        findings = matched([row], [self.booked(1, 700, references=("stripe", "po_1"))], self.LOOSE)
        assert kinds(findings) == ["LATE"]

    def test_without_a_reference_by_amount_and_some_days(self) -> None:
        near, far = (self.entry(1, 700, references=(), occurred_at=NOW + timedelta(days=days)) for days in (2, 11))
        assert kinds(matched([near], [self.booked(1, 700)], self.LOOSE)) == ["MATCHED"]
        assert kinds(matched([far], [self.booked(1, 700)], self.LOOSE)) == ["MISSING_WITH_US", "MISSING_WITH_THEM"]

    def test_equal_amounts_are_paired_in_the_order_of_time(self) -> None:
        rows = [self.entry(n, 700, references=()) for n in (2, 1)]
        findings = matched(rows, [self.booked(n, 700) for n in (1, 2)], self.LOOSE)
        assert [f.ours.journal_id for f in findings if f.ours] == ["journal-2", "journal-1"]


AMOUNTS = st.sampled_from([100, 200, -100, 700])


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Row], list[Ours]]:
    """Rows and movements over few payments, in any muddle."""
    movements = st.sampled_from(list(Movement))
    payments, currencies = st.integers(0, 3), st.sampled_from(["EUR", "USD"])
    mine = [
        ours(
            number,
            draw(AMOUNTS),
            movement=draw(st.sampled_from([Movement.CHARGE, Movement.REFUND, Movement.DISPUTE])),
            group=f"payment-{payment}",
            references=(f"step-{number}", f"pi_{payment}"),
            currency=draw(currencies),
            is_due=draw(st.booleans()),
            is_spent=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 6)))
        for payment in [draw(payments)]
    ]
    rows = [
        theirs(
            number,
            draw(AMOUNTS),
            fee=draw(st.integers(-5, 40)),
            net=draw(AMOUNTS),
            id=f"txn_{draw(st.integers(0, 8))}",
            movement=draw(movements),
            references=draw(st.sampled_from([(), ("pi_0",), ("pi_1", "pi_2"), ("unknown",), ("step-1", "pi_3")])),
            currency=draw(currencies),
            occurred_at=NOW + timedelta(hours=draw(st.integers(-100, 100))),
        )
        for number in range(draw(st.integers(0, 8)))
    ]
    return rows, mine


class TestProperties:
    @given(stories(), st.booleans())
    def test_every_row_has_one_finding_and_no_movement_two(
        self, story: tuple[list[Row], list[Ours]], is_loose: bool
    ) -> None:
        rows, mine = story
        findings = matched(rows, mine, Rules(late=RULES.late, fees=FEES, is_loose=is_loose))
        assert [f.row for f in findings if f.row is not None] == rows
        used = [f.ours.journal_id for f in findings if f.ours is not None]
        assert len(used) == len(set(used))
        assert not {m.journal_id for m in mine if m.is_spent} & set(used)
        assert {m.journal_id for m in mine if m.is_due and not m.is_spent} <= set(used)
        assert len({f.key for f in findings}) == len(findings)

    @given(stories())
    def test_what_agrees_lies_not_in_suspense(self, story: tuple[list[Row], list[Ours]]) -> None:
        for finding in matched(*story):
            if finding.kind in (Kind.MATCHED, Kind.LATE):
                assert finding.suspense == {}

    def test_takes_time_in_proportion_to_the_rows(self) -> None:
        """Every row in one group: what is paired by amount and time never looks at all others."""
        count = 20_000
        mine = [ours(n, 100 + n % 7, group="payment", references=("pi",)) for n in range(count)]
        rows = [theirs(n, 100 + n % 7, references=("pi",)) for n in range(count)]
        random.Random(1).shuffle(rows)
        assert set(kinds(matched(rows, mine))) == {"MATCHED"}


class TestFees:
    def test_are_read_by_provider_and_currency(self) -> None:
        known = load('{"stripe": {"EUR": {"rate": "0.015", "fixed": 25}, "JPY": {"rate": "0.036"}}}')
        assert known["stripe", "EUR"].expected(1000) == 40
        assert known["stripe", "JPY"].expected(1000) == 36
        assert load("") == {}

    @pytest.mark.parametrize(
        "text", ["{", "[]", '{"stripe": 3}', '{"s": {"EUR": {"rate": "2"}}}', '{"s": {"EUR": {"fixed": 1.5}}}']
    )
    def test_what_cannot_be_read_is_said(self, text: str) -> None:
        with pytest.raises(FeesUnreadable, match="provider_fees"):
            load(text)
