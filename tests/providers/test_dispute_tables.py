"""How each provider's words about disputes are ours: statuses, reasons, evidence; and what a strange word becomes."""

import json
from typing import Any

import msgspec
import pytest

from bursar.providers.paypal import disputes as paypal
from bursar.providers.paypal.client import Lost
from bursar.providers.paypal.documents import Amount, Dispute, DisputeEnd, Movement
from bursar.providers.port import EVIDENCE, DisputeStatus
from bursar.providers.stripe import disputes as stripe
from bursar.providers.stripe.answers import Dispute as StripeDispute
from bursar.providers.stripe.answers import Garbage
from simulators.kit.openapi import DATA

S = DisputeStatus
DOCUMENT = DATA / "paypal" / "customer_disputes_v1.json"
needs_document = pytest.mark.skipif(not DOCUMENT.is_file(), reason=f"{DOCUMENT} is absent")


def debit(amount: str, kind: str = "DEBIT", reason: str = "DISPUTE_SETTLEMENT", party: str = "SELLER") -> Movement:
    return Movement(party, Amount("EUR", amount), kind, reason)


class TestPayPal:
    @pytest.mark.parametrize(
        "stage, status, outcome, movements, expected",
        [
            ("INQUIRY", "OPEN", "", (), S.ALERT),
            ("INQUIRY", "WAITING_FOR_SELLER_RESPONSE", "", (), S.ALERT),
            ("INQUIRY", "UNDER_REVIEW", "", (), S.ALERT),
            ("INQUIRY", "RESOLVED", "CANCELED_BY_BUYER", (), S.CLOSED),
            ("INQUIRY", "RESOLVED", "RESOLVED_SELLER_FAVOUR", (), S.CLOSED),
            ("INQUIRY", "RESOLVED", "RESOLVED_BUYER_FAVOUR", (), S.LOST),
            ("CHARGEBACK", "OPEN", "", (), S.NEEDS_RESPONSE),
            ("CHARGEBACK", "WAITING_FOR_SELLER_RESPONSE", "", (), S.NEEDS_RESPONSE),
            ("CHARGEBACK", "WAITING_FOR_BUYER_RESPONSE", "", (), S.UNDER_REVIEW),
            ("PRE_ARBITRATION", "UNDER_REVIEW", "", (), S.UNDER_REVIEW),
            ("ARBITRATION", "OTHER", "", (), S.UNDER_REVIEW),
            ("CHARGEBACK", "RESOLVED", "ACCEPTED", (), S.LOST),
            ("CHARGEBACK", "RESOLVED", "DENIED", (), S.WON),
            ("CHARGEBACK", "RESOLVED", "RESOLVED_WITH_PAYOUT", (), S.WON),
            ("CHARGEBACK", "RESOLVED", "RESOLVED_WITH_PAYOUT", (debit("9.00"),), S.LOST),
            ("CHARGEBACK", "RESOLVED", "RESOLVED_WITH_PAYOUT", (debit("9.00"), debit("9.00", "CREDIT")), S.WON),
            ("CHARGEBACK", "RESOLVED", "RESOLVED_WITH_PAYOUT", (debit("9.00", party="BUYER"),), S.WON),
            ("CHARGEBACK", "RESOLVED", "RESOLVED_WITH_PAYOUT", (debit("9.00", reason="CHARGEBACK_FEE"),), S.WON),
        ],
    )
    def test_a_status(
        self, stage: str, status: str, outcome: str, movements: tuple[Movement, ...], expected: DisputeStatus
    ) -> None:
        dispute = Dispute(
            "PP-D-1",
            status,
            dispute_life_cycle_stage=stage,
            money_movements=movements,
            dispute_outcome=DisputeEnd(outcome),
        )
        assert paypal._status(dispute, "EUR") is expected

    def test_what_cannot_be_read_is_lost(self) -> None:
        with pytest.raises(Lost):
            paypal._status(Dispute("PP-D-1", "ASLEEP", dispute_life_cycle_stage="CHARGEBACK"), "EUR")
        strange = Dispute(
            "PP-D-1", money_movements=(Movement("SELLER", Amount("USD", "1.00"), "DEBIT", "DISPUTE_FEE"),)
        )
        with pytest.raises(Lost):
            paypal._taken(strange, "EUR", is_fee=True)

    @needs_document
    def test_every_word_of_ours_is_one_of_its(self) -> None:
        schemas = json.loads(DOCUMENT.read_text())["components"]["schemas"]
        kinds = set(schemas["evidence"]["properties"]["evidence_type"]["enum"])
        assert {*paypal.KINDS.values(), "PROOF_OF_FULFILLMENT", "ADDITIONAL_PROOF_OF_SHIPMENT"} <= kinds
        assert set(paypal.REASONS) <= set(schemas["dispute_reason"]["enum"])
        assert set(schemas["money_movement_reason"]["enum"]) - paypal.FEES == {"DISPUTE_SETTLEMENT"}
        carriers = set(schemas["tracking_info"]["properties"]["carrier_name"]["enum"])
        assert carriers >= paypal.CARRIERS

    @pytest.mark.parametrize(
        "evidence, expected",
        [
            ({"shipping_date": "1 May"}, [("ADDITIONAL_PROOF_OF_SHIPMENT", None)]),
            ({"shipping_tracking_number": "7"}, [("PROOF_OF_FULFILLMENT", "OTHER")]),
            (
                {"shipping_tracking_number": "7", "shipping_carrier": "royal mail"},
                [("PROOF_OF_FULFILLMENT", "ROYAL_MAIL")],
            ),
            ({"shipping_tracking_number": "7", "shipping_carrier": "Speedy"}, [("PROOF_OF_FULFILLMENT", "OTHER")]),
            ({"receipt": "No. 7"}, [("PROOF_OF_RECEIPT_COPY", None)]),
        ],
    )
    def test_evidence_of_a_shipment_is_one_proof(
        self, evidence: dict[str, str], expected: list[tuple[str, str | None]]
    ) -> None:
        def carrier(piece: dict[str, Any]) -> str | None:
            info = piece.get("evidence_info")
            return None if info is None else str(info["tracking_info"][0]["carrier_name"])

        found = paypal.written(evidence)
        assert found is not None and [(each["evidence_type"], carrier(each)) for each in found] == expected

    def test_evidence_has_a_place_for_every_name_of_ours(self) -> None:
        assert set(paypal.KINDS) | set(paypal.SHIPPING) == EVIDENCE
        assert paypal.written({"horoscope": "Leo"}) is None


class TestStripe:
    def standing(self, **changes: Any) -> Any:
        told = {"object": "dispute", "id": "dp_1", "status": "needs_response", "amount": 1_000, "currency": "eur"}
        told |= {"created": 1_700_000_000, "reason": "fraudulent", "payment_intent": "pi_1", **changes}
        return stripe._standing(msgspec.convert(told, StripeDispute))

    @pytest.mark.parametrize("status, expected", stripe.STATUSES.items())
    def test_a_status(self, status: str, expected: DisputeStatus) -> None:
        found = self.standing(status=status, evidence_details={"due_by": 1_700_009_000})
        assert found.status is expected
        assert found.takes_money is (expected not in (S.ALERT, S.CLOSED))
        assert (found.evidence_due_at is not None) is status.endswith("needs_response")

    def test_a_strange_status_is_garbage(self) -> None:
        for changes in ({"status": "asleep"}, {"payment_intent": None}):
            with pytest.raises(Garbage):
                self.standing(**changes)

    @pytest.mark.parametrize("fees, expected", [((), 0), ((1_500,), 1_500), ((1_500, -1_500), 0), ((1_500, 0), 1_500)])
    def test_the_fee_is_what_was_not_given_back(self, fees: tuple[int, ...], expected: int) -> None:
        moved = [{"fee": fee, "currency": "eur"} for fee in fees] + [{"fee": 9, "currency": "usd"}]
        assert self.standing(balance_transactions=moved).fee == expected

    def test_evidence_has_a_place_for_every_name_of_ours(self) -> None:
        assert set(stripe.TEXTS) | set(stripe.FILES) == EVIDENCE
        assert stripe.written({"horoscope": "Leo"}) is None
        told = {"uncategorized_text": "He came.", "receipt": "No. 7", "customer_communication": "Thanks!"}
        assert stripe.written(told) == {
            "uncategorized_text": "He came.\n\nCustomer communication: Thanks!\n\nReceipt: No. 7"
        }
