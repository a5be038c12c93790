"""What goes back: from whom, how much, and how much of the commission; for any charges and any history."""

from collections import Counter
from fractions import Fraction

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bursar.domains.transactions.model import Allocation, ShareUnavailable, Transaction
from bursar.domains.transactions.shares import Share, available, moved, share_out
from tests.support.transactions import after, charge, charges


def taken(shares: tuple[Share, ...]) -> list[tuple[str, int, int, int]]:
    return [(share.vendor_id, share.gross, share.commission, share.net) for share in shares]


def refund(of: list[Transaction], amount: int, *, keeps_commission: bool = False) -> list[Transaction]:
    shares, _ = share_out(of, 0, amount, keeps_commission=keeps_commission)
    return after(of, shares, "hold", "settle")


class TestShareOut:
    def test_takes_from_all_in_proportion(self) -> None:
        sold = [charge(("a", 60, 6), ("b", 40, 8))]
        shares, unallocated = share_out(sold, 0, 50, keeps_commission=False)
        assert taken(shares) == [("a", 30, 3, 27), ("b", 20, 4, 16)]
        assert unallocated == 0

    def test_takes_from_unallocated_money_in_proportion_too(self) -> None:
        shares, unallocated = share_out([charge(("a", 60, 6))], 40, 50, keeps_commission=False)
        assert (taken(shares), unallocated) == ([("a", 30, 3, 27)], 20)

    def test_takes_of_what_is_left(self) -> None:
        sold = [charge(("a", 60, 6), ("b", 40, 8))]
        of_a, _ = share_out(sold, 0, 60, keeps_commission=False, wanted={"a": 60})
        shares, _ = share_out(after(sold, of_a, "hold"), 0, 10, keeps_commission=False)
        assert taken(shares) == [("b", 10, 2, 8)]

    def test_keeps_the_commission(self) -> None:
        shares, _ = share_out([charge(("a", 60, 6))], 0, 30, keeps_commission=True)
        assert taken(shares) == [("a", 30, 0, 30)] and shares[0].commission_kept == 3

    def test_what_was_kept_once_is_not_given_back_later(self) -> None:
        kept = refund([charge(("a", 100, 10))], 50, keeps_commission=True)
        shares, _ = share_out(kept, 0, 50, keeps_commission=False)
        assert taken(shares) == [("a", 50, 5, 45)]

    def test_as_wanted(self) -> None:
        sold = [charge(("a", 60, 6), ("b", 40, 8)), charge(("b", 40, 0))]
        shares, unallocated = share_out(sold, 5, 23, keeps_commission=False, wanted={"b": 20})
        assert (taken(shares), unallocated) == ([("b", 10, 2, 8), ("b", 10, 0, 10)], 3)

    def test_of_one_charge_alone(self) -> None:
        sold = [charge(("a", 60, 6)), charge(("a", 40, 4))]
        shares, unallocated = share_out(sold, 100, 40, keeps_commission=False, transaction_id=sold[1].id)
        assert [(share.transaction_id, share.gross) for share in shares] == [(sold[1].id, 40)] and unallocated == 0

    @pytest.mark.parametrize(
        "amount, options",
        [
            (111, {}),
            (61, {"wanted": {"a": 61}}),
            (12, {"wanted": {"a": 1}}),
            (1, {"wanted": {"z": 1}}),
            (101, {"transaction_id": "first"}),
            (1, {"transaction_id": "no such charge"}),
        ],
    )
    def test_takes_no_more_than_is_left(self, amount: int, options: dict[str, object]) -> None:
        sold = [charge(("a", 60, 6), ("b", 40, 4), id="first")]
        with pytest.raises(ShareUnavailable) as refused:
            share_out(sold, 10, amount, keeps_commission=False, **options)  # type: ignore[arg-type]
        assert refused.value.context["amountAvailable"] < amount

    @given(data=st.data(), sold=charges(), unallocated=st.integers(0, 100), keeps=st.booleans())
    def test_parts_sum_to_the_whole(
        self, data: st.DataObject, sold: list[Transaction], unallocated: int, keeps: bool
    ) -> None:
        most = available(sold, unallocated)
        amount = data.draw(st.integers(1, most))

        shares, rest = share_out(sold, unallocated, amount, keeps_commission=keeps)

        assert sum(share.gross for share in shares) + rest == amount and 0 <= rest <= unallocated
        lines = {(one.id, line): part for one in sold for line, part in enumerate(one.allocations)}
        for share in shares:
            part = lines[share.transaction_id, share.line]
            assert share.gross == share.commission + share.net and 0 < share.gross <= part.left
            assert min(share.commission, share.net, share.commission_kept) >= 0
            assert abs(share.gross * most - amount * part.left) < most
            exact = Fraction(part.commission_amount * share.gross, part.gross_amount)
            assert abs(share.commission + share.commission_kept - exact) <= Fraction(1, 2)
            assert (share.commission if keeps else share.commission_kept) == 0

    @given(data=st.data(), sold=charges())
    def test_as_wanted_takes_that_from_each_vendor(self, data: st.DataObject, sold: list[Transaction]) -> None:
        left = Counter[str]()
        for part in (part for one in sold for part in one.allocations):
            left[part.vendor_id] += part.left
        wanted = {vendor: data.draw(st.integers(0, most)) for vendor, most in left.items()}
        amount = sum(wanted.values()) or 1
        wanted = wanted if sum(wanted.values()) else {}

        shares, rest = share_out(sold, 1, amount, keeps_commission=False, wanted=wanted)

        got = Counter[str]()
        for share in shares:
            got[share.vendor_id] += share.gross
        assert +got == +Counter(wanted) and rest == (0 if wanted else 1)


class TestWholeRefund:
    @given(data=st.data(), sold=charges())
    def test_in_any_parts_gives_back_just_what_was_charged(self, data: st.DataObject, sold: list[Transaction]) -> None:
        for _ in range(data.draw(st.integers(0, 6))):
            if left := available(sold, 0):
                sold = refund(sold, data.draw(st.integers(1, left) | st.integers(1, min(left, 3))))
        if left := available(sold, 0):
            sold = refund(sold, left)
        for part in (part for one in sold for part in one.allocations):
            assert (part.refunded, part.commission_returned) == (part.gross_amount, part.commission_amount)

    @given(data=st.data(), sold=charges())
    def test_what_is_given_back_does_not_depend_on_the_order(
        self, data: st.DataObject, sold: list[Transaction]
    ) -> None:
        one = sold[:1]
        vendor = one[0].allocations[0].vendor_id
        of_vendor = sum(part.left for part in one[0].allocations if part.vendor_id == vendor)
        amounts = data.draw(st.lists(st.integers(1, max(1, of_vendor // 5)), max_size=5))
        if len(one[0].allocations) > 1 or sum(amounts) > of_vendor:
            one, amounts = [charge((vendor, 97, 31))], [amount % 19 + 1 for amount in amounts]
        results = set()
        for order in (amounts, amounts[::-1], sorted(amounts)):
            parts = one
            for amount in order:
                parts = refund(parts, amount)
            results.add((parts[0].allocations[0].refunded, parts[0].allocations[0].commission_returned))
        assert len(results) == 1


class TestMoved:
    def test_releases_what_was_held(self) -> None:
        sold = [charge(("a", 60, 7))]
        for keeps in (True, False):
            shares, _ = share_out(sold, 0, 31, keeps_commission=keeps)
            assert after(sold, shares, "hold", "release") == sold
            assert after(sold, shares, "hold", "settle", "unsettle") == sold
            assert after(sold, shares, "dispute", "undispute") == sold

    @pytest.mark.parametrize("action", ["release", "settle", "unsettle", "undispute"])
    def test_refuses_what_was_never_taken(self, action: str) -> None:
        share = Share("x", 0, "a", 10, 1, 9)
        with pytest.raises(AssertionError):
            moved(Allocation("a", 60, 6, 54), share, action)

    def test_refuses_more_than_there_is(self) -> None:
        with pytest.raises(AssertionError):
            moved(Allocation("a", 60, 6, 54), Share("x", 0, "a", 61, 6, 55), "hold")


class History(RuleBasedStateMachine):
    """Refunds and disputes of one payment, in any order, some failing, some reversed."""

    @initialize(sold=charges(), unallocated=st.integers(0, 50))
    def start(self, sold: list[Transaction], unallocated: int) -> None:
        self.sold = sold
        self.unallocated = unallocated
        self.whole = available(sold, unallocated)
        self.open: list[tuple[tuple[Share, ...], int]] = []
        self.done: list[tuple[str, tuple[Share, ...], int]] = []

    @precondition(lambda self: available(self.sold, self.unallocated))
    @rule(data=st.data(), keeps=st.booleans(), is_dispute=st.booleans())
    def take(self, data: st.DataObject, keeps: bool, is_dispute: bool) -> None:
        left = available(self.sold, self.unallocated)
        amount = data.draw(st.integers(1, left) | st.integers(1, min(left, 3)))
        shares, rest = share_out(self.sold, self.unallocated, amount, keeps_commission=keeps)
        self.unallocated -= rest
        self.sold = after(self.sold, shares, "dispute" if is_dispute else "hold")
        if is_dispute:
            self.done.append(("undispute", shares, rest))
        else:
            self.open.append((shares, rest))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), is_settled=st.booleans())
    def end(self, data: st.DataObject, is_settled: bool) -> None:
        shares, rest = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.sold = after(self.sold, shares, "settle" if is_settled else "release")
        if is_settled:
            self.done.append(("unsettle", shares, rest))
        else:
            self.unallocated += rest

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        action, shares, rest = self.done.pop(data.draw(st.integers(0, len(self.done) - 1)))
        self.sold = after(self.sold, shares, action)
        self.unallocated += rest

    @invariant()
    def sums_hold(self) -> None:
        under_way = [*self.open, *((shares, rest) for _, shares, rest in self.done)]
        grosses, commissions = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
        for share in (share for shares, _ in under_way for share in shares):
            grosses[share.transaction_id, share.line] += share.gross
            commissions[share.transaction_id, share.line] += share.commission + share.commission_kept
        for one in self.sold:
            for line, part in enumerate(one.allocations):
                assert part.taken == grosses[one.id, line] and part.left >= 0
                assert part.commission_amount - part.commission_left == commissions[one.id, line]
                assert 0 <= part.commission_left <= part.left
        total = sum(grosses.values()) + sum(rest for _, rest in under_way)
        assert available(self.sold, self.unallocated) == self.whole - total


TestHistory = History.TestCase
