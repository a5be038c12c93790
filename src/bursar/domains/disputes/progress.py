"""By which steps a dispute catches up with what its provider says of it. Pure.

What a provider says was asked for after the dispute became what it is, so it is never older. Where it still comes from
before, as a provider's own copies may, it leads nowhere: no edge leads back, but to NEEDS_RESPONSE with a later
deadline.
"""

from typing import Any, Final

from bursar.domains.disputes.model import HOLDING, OPEN, Dispute, Kind, Status
from bursar.domains.payments.model import ProviderDisagrees
from bursar.providers.port import DisputeState, DisputeStatus

_ENDED: Final = frozenset({DisputeStatus.WON, DisputeStatus.LOST})


def behind(dispute: Dispute, state: DisputeState) -> tuple[str, dict[str, Any]] | None:
    """The next action, and what changes with it, by which the dispute catches up; None where it is up to date.

    Raises ProviderDisagrees where what is said cannot follow from what we know.
    """
    _refuse_strange(dispute, state)
    details = _details(dispute, state)
    action = _action(dispute, state)
    if action is not None:
        return action, details
    return ("update", details) if details else None


def takes_money(state: DisputeState) -> bool:
    """Whether the provider takes the amount from us, or took it and gave it back."""
    return state.takes_money and state.status not in (DisputeStatus.ALERT, DisputeStatus.CLOSED)


def _action(dispute: Dispute, state: DisputeState) -> str | None:
    if dispute.status in (Status.ALERT, Status.CLOSED):
        if takes_money(state):
            return "open"
        is_over = state.status is DisputeStatus.CLOSED or state.status in _ENDED
        return "end" if is_over and dispute.status is Status.ALERT else None
    if dispute.status not in OPEN:
        return None
    if state.status in (DisputeStatus.WON, DisputeStatus.CLOSED):
        return "win"
    if state.status is DisputeStatus.LOST:
        is_ours = dispute.attempt is not None and dispute.attempt.kind is Kind.ACCEPTANCE
        return "accepted" if is_ours else "lose"
    if state.status is DisputeStatus.UNDER_REVIEW and dispute.status is Status.NEEDS_RESPONSE:
        return "review"
    if state.status is DisputeStatus.NEEDS_RESPONSE and dispute.status is Status.UNDER_REVIEW:
        return "ask_again" if _is_due_later(dispute, state) else None
    return None


def _details(dispute: Dispute, state: DisputeState) -> dict[str, Any]:
    """What else the provider says now. A deadline only moves on; what has ended keeps all but its fee."""
    told: dict[str, Any] = {"is_by_hand": False}
    is_charged = takes_money(state)
    if is_charged or _action(dispute, state) == "win":
        told["fee_amount"] = state.fee
    if dispute.status in OPEN or (dispute.status is Status.CLOSED and is_charged):
        told["reason"] = state.reason
        if dispute.status not in HOLDING:
            told["amount"] = state.amount
        if _is_due_later(dispute, state):
            told |= {"evidence_due_at": state.evidence_due_at, "due_soon_at": None, "deadline_missed_at": None}
    return {name: value for name, value in told.items() if value != getattr(dispute, name)}


def _is_due_later(dispute: Dispute, state: DisputeState) -> bool:
    due_at = state.evidence_due_at
    return due_at is not None and (dispute.evidence_due_at is None or due_at > dispute.evidence_due_at)


def _refuse_strange(dispute: Dispute, state: DisputeState) -> None:
    """Raise ProviderDisagrees for another currency, another amount of money that was taken, or another end."""
    if state.currency != dispute.currency:
        raise ProviderDisagrees(f"the dispute is in {state.currency} there, in {dispute.currency} here")
    is_booked = dispute.status in HOLDING or dispute.status is Status.WON
    if is_booked and takes_money(state) and state.amount != dispute.amount:
        raise ProviderDisagrees(f"{state.amount} is disputed there, {dispute.amount} here")
    there = state.status
    is_lost_there = takes_money(state) and there is DisputeStatus.LOST
    is_won_there = there is DisputeStatus.WON
    is_lost_here = dispute.status in (Status.LOST, Status.ACCEPTED)
    if (dispute.status is Status.WON and is_lost_there) or (is_lost_here and is_won_there):
        raise ProviderDisagrees(f"the dispute is {there} there, {dispute.status} here")
