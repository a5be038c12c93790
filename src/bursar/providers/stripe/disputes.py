"""Disputes: contested with evidence, or given up. Both can be asked for again without harm."""

from typing import Final

import stripe

from bursar.providers.port import Approved, DisputeAcceptance, DisputeEvidence, Outcome
from bursar.providers.stripe.answers import Dispute, read
from bursar.providers.stripe.calls import Calls, once
from bursar.providers.stripe.errors import Mismatch

GIVEN_UP: Final = frozenset({"lost", "warning_closed"})


async def contest(calls: Calls, request: DisputeEvidence) -> Outcome:
    """Hand in evidence, by Stripe's names for it, at once and for good."""
    params = {"evidence": dict(request.evidence), "submit": True}
    answer = await calls.v1.disputes.update_async(request.dispute_reference, params, once(request.key))
    return _of(request, read(answer, Dispute))


async def accept(calls: Calls, request: DisputeAcceptance) -> Outcome:
    """Contest a dispute no more: it is lost. One that is lost already is given up."""
    try:
        answer = await calls.v1.disputes.close_async(request.dispute_reference, {}, once(request.key))
    except stripe.InvalidRequestError:
        answer = await calls.v1.disputes.retrieve_async(request.dispute_reference)
        if read(answer, Dispute).status not in GIVEN_UP:
            raise
    return _of(request, read(answer, Dispute))


def _of(request: DisputeEvidence | DisputeAcceptance, dispute: Dispute) -> Outcome:
    if dispute.id != request.dispute_reference:
        raise Mismatch(f"asked about {request.dispute_reference}, answered about {dispute.id}")
    return Approved(dispute.id)
