"""Disputes: our evidence, or that we give in. Both can be asked for again: the dispute itself tells what it has."""

from typing import Any, Final

from bursar.providers.paypal.client import Client, part
from bursar.providers.paypal.documents import Dispute, Links
from bursar.providers.port import Approved, DisputeAcceptance, DisputeEvidence, Outcome

DISPUTES: Final = "/v1/customer/disputes"
LOST: Final = ("ACCEPTED", "RESOLVED_BUYER_FAVOUR", "RESOLVED_WITH_PAYOUT")
"""How a dispute ends that we do not contest."""
NOTE: Final = "The merchant accepts the claim."


async def contest(client: Client, request: DisputeEvidence) -> Outcome:
    """Hand in evidence: by PayPal's evidence_type, a text each (refund ids, separated by commas, for PROOF_OF_REFUND;
    CARRIER:NUMBER for PROOF_OF_FULFILLMENT).
    """
    evidences = [_evidence(kind, text) for kind, text in request.evidence.items()]
    path = f"{DISPUTES}/{part(request.dispute_reference)}/provide-evidence"
    await client.post_form(path, Links, key=request.key, part={"evidences": evidences})
    return Approved(request.dispute_reference)


async def inquire_evidence(client: Client, request: DisputeEvidence) -> Outcome:
    """Look whether the dispute has all of it; hand it in again where it has not, which does no harm."""
    dispute = await client.get(f"{DISPUTES}/{part(request.dispute_reference)}", Dispute)
    if set(request.evidence.items()) <= {(each.evidence_type, each.notes) for each in dispute.evidences}:
        return Approved(request.dispute_reference)
    return await contest(client, request)


async def give_in(client: Client, request: DisputeAcceptance) -> Outcome:
    """Accept the claim: the customer gets the money back."""
    path = f"{DISPUTES}/{part(request.dispute_reference)}/accept-claim"
    await client.post_form(path, Links, key=request.key, part={"note": NOTE, "accept_claim_type": "REFUND"})
    return Approved(request.dispute_reference)


async def inquire_acceptance(client: Client, request: DisputeAcceptance) -> Outcome:
    """Look whether the dispute has ended so; give in again where it has not."""
    dispute = await client.get(f"{DISPUTES}/{part(request.dispute_reference)}", Dispute)
    if dispute.status == "RESOLVED" and dispute.dispute_outcome.outcome_code in LOST:
        return Approved(request.dispute_reference)
    return await give_in(client, request)


def _evidence(kind: str, text: str) -> dict[str, Any]:
    """One piece. The text always goes along as a note too, by which it is found again."""
    evidence: dict[str, Any] = {"evidence_type": kind, "notes": text}
    if kind == "PROOF_OF_REFUND":
        evidence["evidence_info"] = {"refund_ids": [each.strip() for each in text.split(",")]}
    elif kind == "PROOF_OF_FULFILLMENT" and ":" in text:
        carrier, _, number = text.partition(":")
        evidence["evidence_info"] = {"tracking_info": [{"carrier_name": carrier, "tracking_number": number}]}
    return evidence
