"""What a rule charges: full tables, and what holds for any rule and amount."""

from decimal import Decimal
from fractions import Fraction

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from bursar.domains.commissions.charge import charge
from bursar.domains.commissions.model import CommissionType, LimitedBy, Rule, Tier, TierMode
from bursar.domains.commissions.rounding import MILLION, millionths, units_half_up
from bursar.kit.money import AMOUNT_MAX
from tests.support.commissions import rule, tiered

C = CommissionType
WHOLE = TierMode.WHOLE_VOLUME
TIERS = (("0.2", 1_000), ("0.1", 5_000), ("0.05", None))


def fixed(amount: int) -> Rule:
    return rule(commission_type=C.FIXED, rate=None, fixed_amount=amount, currency="EUR")


def percentage(rate: str, **limits: int) -> Rule:
    return rule(rate=Decimal(rate), currency="EUR", **limits)


class TestRounding:
    @pytest.mark.parametrize(
        "share, units",
        [(0, 0), (499_999, 0), (500_000, 1), (1_499_999, 1), (1_500_000, 2), (2_500_000, 3), (3_000_000, 3)],
    )
    def test_half_a_unit_goes_up(self, share: int, units: int) -> None:
        assert units_half_up(share) == units

    @pytest.mark.parametrize("rate, whole", [("0", 0), ("0.000001", 1), ("0.125", 125_000), ("1", MILLION)])
    def test_rates_are_whole_millionths(self, rate: str, whole: int) -> None:
        assert millionths(Decimal(rate)) == whole

    def test_no_rate_is_cut(self) -> None:
        with pytest.raises(AssertionError, match="six decimal places"):
            millionths(Decimal("0.0000001"))


class TestTypes:
    @pytest.mark.parametrize(
        "by, amount, commission",
        [
            (percentage("0.1"), 10_000, 1_000),
            (percentage("0.029"), 999, 29),
            (percentage("0.05"), 10, 1),
            (percentage("0.05"), 9, 0),
            (percentage("0"), 10_000, 0),
            (percentage("1"), 10_000, 10_000),
            (fixed(30), 10_000, 30),
            (fixed(0), 10_000, 0),
            (rule(commission_type=C.HYBRID, rate=Decimal("0.029"), fixed_amount=30, currency="EUR"), 10_000, 320),
            (tiered(("0.3", None)), 10_000, 3_000),
        ],
    )
    def test_charge(self, by: Rule, amount: int, commission: int) -> None:
        made = charge(by, amount, 0)
        assert (made.amount, made.limited_by, made.rule_id, made.rule_version) == (commission, None, by.id, 1)
        assert sum(part.commission for part in made.parts) + made.fixed_amount == commission

    @pytest.mark.parametrize(
        "by, amount, commission, limited_by",
        [
            (percentage("0.1", min_commission=50), 494, 50, LimitedBy.MIN_COMMISSION),
            (percentage("0.1", min_commission=50), 500, 50, None),
            (percentage("0.1", max_commission=50), 505, 50, LimitedBy.MAX_COMMISSION),
            (percentage("0.1", max_commission=50), 500, 50, None),
            (percentage("0.1", max_commission=0), 500, 0, LimitedBy.MAX_COMMISSION),
            (percentage("0.1", min_commission=50), 30, 30, LimitedBy.AMOUNT),
            (fixed(31), 30, 30, LimitedBy.AMOUNT),
        ],
    )
    def test_stay_within_their_limits(
        self, by: Rule, amount: int, commission: int, limited_by: LimitedBy | None
    ) -> None:
        made = charge(by, amount, 0)
        assert (made.amount, made.limited_by) == (commission, limited_by)


class TestTiers:
    @pytest.mark.parametrize(
        "volume, amount, parts",
        [
            (0, 1_000, [(1_000, "0.2", 200)]),
            (0, 1_001, [(1_000, "0.2", 200), (1, "0.1", 0)]),
            (0, 6_000, [(1_000, "0.2", 200), (4_000, "0.1", 400), (1_000, "0.05", 50)]),
            (999, 1, [(1, "0.2", 0)]),
            (1_000, 10, [(10, "0.1", 1)]),
            (4_990, 20, [(10, "0.1", 1), (10, "0.05", 1)]),
            (5_000, 100, [(100, "0.05", 5)]),
            (10**15, 100, [(100, "0.05", 5)]),
        ],
    )
    def test_marginal_take_each_part_at_its_own_rate(
        self, volume: int, amount: int, parts: list[tuple[int, str, int]]
    ) -> None:
        made = charge(tiered(*TIERS, volume_window_days=30), amount, volume)
        assert [(part.amount, str(part.rate), part.commission) for part in made.parts] == parts
        assert made.amount == sum(part[2] for part in parts)

    @pytest.mark.parametrize(
        "volume, amount, commission",
        [(0, 1_000, 200), (0, 1_001, 100), (999, 1, 0), (900, 100, 20), (900, 101, 10), (4_000, 1_000, 100),
         (4_000, 1_001, 50), (10**15, 100, 5)],
    )  # fmt: skip
    def test_of_the_whole_volume_take_all_at_the_rate_that_is_reached(
        self, volume: int, amount: int, commission: int
    ) -> None:
        assert charge(tiered(*TIERS, mode=WHOLE, volume_window_days=30), amount, volume).amount == commission

    @pytest.mark.parametrize("mode", TierMode)
    def test_without_a_window_look_at_the_single_amount(self, mode: TierMode) -> None:
        by = tiered(*TIERS, mode=mode)
        assert charge(by, 700, 10**9) == charge(by, 700, 0) and charge(by, 700, 0).amount == 140


rates = st.integers(0, MILLION).map(lambda number: (Decimal(number) / MILLION).normalize())
amounts = st.one_of(st.integers(1, 100), st.integers(1, AMOUNT_MAX))
volumes = st.one_of(st.integers(0, 200), st.integers(0, 10**15))
limits = st.none() | st.integers(0, 200) | st.integers(0, AMOUNT_MAX)


@st.composite
def terms(draw: st.DrawFn) -> Rule:
    kind = draw(st.sampled_from(CommissionType))
    low, high = draw(limits), draw(limits)
    if low is not None and high is not None and low > high:
        low, high = high, low
    tiers = None
    if kind is C.TIERED:
        ends = sorted(draw(st.sets(st.integers(1, 150) | st.integers(1, 10**15), max_size=4)))
        tiers = tuple(Tier(rate=draw(rates), up_to=end) for end in (*ends, None))
    return rule(
        commission_type=kind,
        rate=draw(rates) if kind in (C.PERCENTAGE, C.HYBRID) else None,
        fixed_amount=draw(st.integers(0, 200)) if kind in (C.FIXED, C.HYBRID) else None,
        tiers=tiers,
        tier_mode=draw(st.sampled_from(TierMode)) if tiers else None,
        volume_window_days=draw(st.sampled_from([None, 30])) if tiers else None,
        min_commission=low,
        max_commission=high,
        currency="EUR",
    )


class TestAnyRule:
    @given(terms(), amounts, volumes)
    def test_charges_between_nothing_and_the_amount(self, by: Rule, amount: int, volume: int) -> None:
        made = charge(by, amount, volume)
        assert 0 <= made.amount <= amount
        assert by.max_commission is None or made.amount <= by.max_commission
        assert by.min_commission is None or made.amount >= min(by.min_commission, amount)
        assert made == charge(by, amount, volume)

    @given(terms(), amounts, volumes)
    def test_is_its_parts_unless_it_is_limited(self, by: Rule, amount: int, volume: int) -> None:
        made = charge(by, amount, volume)
        assert sum(part.amount for part in made.parts) == (0 if by.commission_type is C.FIXED else amount)
        assert all(part.commission >= 0 for part in made.parts)
        if made.limited_by is None:
            assert sum(part.commission for part in made.parts) + made.fixed_amount == made.amount

    @given(terms(), amounts, volumes)
    def test_is_the_exact_sum_of_the_parts_rounded_once(self, by: Rule, amount: int, volume: int) -> None:
        made = charge(by, amount, volume)
        exact = sum((part.amount * Fraction(part.rate) for part in made.parts), Fraction(0))
        assert sum(part.commission for part in made.parts) == int(exact + Fraction(1, 2))

    @given(terms(), st.integers(1, 10**9), st.integers(1, 10**9), volumes)
    def test_marginal_tiers_charge_one_sale_as_two(self, by: Rule, first: int, second: int, volume: int) -> None:
        if by.tier_mode is not TierMode.MARGINAL or by.volume_window_days is None:
            return
        free = msgspec.structs.replace(by, min_commission=None, max_commission=None)
        together = charge(free, first + second, volume).amount
        apart = charge(free, first, volume).amount + charge(free, second, volume + first).amount
        assert abs(together - apart) <= 1
