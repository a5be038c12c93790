"""What a rule charges on an amount. Pure, integers only; rounded once, so that no cent is made by adding up parts."""

from collections.abc import Sequence
from decimal import Decimal

from bursar.domains.commissions.model import Commission, CommissionType, LimitedBy, Part, Rule, Tier, TierMode
from bursar.domains.commissions.rounding import millionths, units_half_up


def charge(rule: Rule, amount: int, volume: int) -> Commission:
    """The commission of `rule` on `amount`, 0 <= commission <= amount.

    amount: minor units, >= 1. volume: what was sold before within the rule's window; counts for tiers with a window
    alone. The sum of the shares is rounded half up; then come minimum and maximum, then the amount itself.
    """
    parts = _rounded(_portions(rule, amount, volume))
    fixed = rule.fixed_amount or 0
    commission, limited_by = _limited(rule, sum(part.commission for part in parts) + fixed, amount)
    return Commission(rule.id, rule.version, commission, parts, fixed, limited_by)


def _portions(rule: Rule, amount: int, volume: int) -> list[tuple[int, Decimal]]:
    """The amount in parts, each with its rate; none where the commission is fixed."""
    if rule.commission_type is CommissionType.FIXED:
        return []
    if rule.commission_type is not CommissionType.TIERED:
        assert rule.rate is not None
        return [(amount, rule.rate)]
    assert rule.tiers is not None
    counted = volume if rule.volume_window_days is not None else 0
    if rule.tier_mode is TierMode.WHOLE_VOLUME:
        return [(amount, _reached(rule.tiers, counted + amount).rate)]
    return _marginal(rule.tiers, counted, counted + amount)


def _reached(tiers: Sequence[Tier], volume: int) -> Tier:
    """The tier in which `volume` lies; the last one has no end."""
    return next(tier for tier in tiers if tier.up_to is None or volume <= tier.up_to)


def _marginal(tiers: Sequence[Tier], start: int, end: int) -> list[tuple[int, Decimal]]:
    """What lies above `start` up to `end`, by tier."""
    portions = []
    for tier in tiers:
        until = end if tier.up_to is None else min(end, tier.up_to)
        if until > start:
            portions.append((until - start, tier.rate))
            start = until
    return portions


def _rounded(portions: Sequence[tuple[int, Decimal]]) -> tuple[Part, ...]:
    """The parts with their commissions: each is what the rounded total grows by, so they sum to the rounded sum."""
    parts, share, total = [], 0, 0
    for amount, rate in portions:
        share += amount * millionths(rate)
        parts.append(Part(amount, rate, units_half_up(share) - total))
        total = units_half_up(share)
    return tuple(parts)


def _limited(rule: Rule, commission: int, amount: int) -> tuple[int, LimitedBy | None]:
    limited_by = None
    if rule.min_commission is not None and commission < rule.min_commission:
        commission, limited_by = rule.min_commission, LimitedBy.MIN_COMMISSION
    if rule.max_commission is not None and commission > rule.max_commission:
        commission, limited_by = rule.max_commission, LimitedBy.MAX_COMMISSION
    if commission > amount:
        commission, limited_by = amount, LimitedBy.AMOUNT
    return commission, limited_by
