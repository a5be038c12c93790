"""Payment tokens at PayPal, and disputes: what moves no money by itself."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest

from bursar.providers.paypal.vault import customer_id
from bursar.providers.port import (
    ActionRequired,
    Approved,
    Authorization,
    Card,
    Declined,
    Description,
    DisputeAcceptance,
    DisputeEvidence,
    Forgetting,
    Instrument,
    MethodDetails,
    MethodType,
    MicroDeposits,
    Outcome,
    Unavailable,
    Unknown,
    Verification,
    Wallet,
)
from simulators.kit.faults import Kind
from tests.providers.contract.harness_paypal import Shared, sharing


@pytest.fixture
async def shared() -> AsyncIterator[Shared]:
    async with sharing() as opened:
        yield opened


def card(holder: str = "Grace Hopper", number: str = "4111111111111111") -> Instrument:
    return Instrument(str(uuid4()), MethodType.CARD, card=Card(number, 1, 2030, holder, "123"))


def verification(shared: Shared, instrument: Instrument) -> Verification:
    return Verification(str(uuid4()), instrument, "USD", shared.now())


def code(outcome: Outcome) -> str:
    assert isinstance(outcome, Declined), outcome
    return outcome.decline_code


class TestVerification:
    async def test_makes_a_token_of_a_card_that_pays(self, shared: Shared) -> None:
        outcome = await shared.adapter.execute(verification(shared, card()))
        assert isinstance(outcome, Approved)
        assert outcome.details == MethodDetails(brand="VISA", last4="1111", exp_month=1, exp_year=2030)
        vaulted = Instrument("pm_ours", MethodType.CARD, token=outcome.reference)
        request = Authorization(str(uuid4()), "pay_1", 100, "USD", vaulted, True, shared.now())
        assert isinstance(await shared.adapter.execute(request), Approved)

    async def test_refuses_a_card_that_is_declined(self, shared: Shared) -> None:
        outcome = await shared.adapter.execute(verification(shared, card("CCREJECT-IF")))
        assert code(outcome) == "generic_decline"

    @pytest.mark.parametrize("is_wallet", [True, False])
    async def test_sends_the_customer_to_approve_and_goes_on(self, shared: Shared, is_wallet: bool) -> None:
        method_type = MethodType.DIGITAL_WALLET if is_wallet else MethodType.CARD
        instrument = Instrument("pm", method_type) if is_wallet else card(number="4000000000001091")
        asked = await shared.adapter.execute(verification(shared, instrument))
        assert isinstance(asked, ActionRequired)
        approved = Instrument(instrument.id, method_type, wallet=Wallet("PAYPAL", asked.reference))
        assert await shared.adapter.execute(verification(shared, approved)) == asked  # nobody was there yet
        await shared.visit(asked.next_action["url"])
        request = verification(shared, approved)
        outcome = await shared.adapter.execute(request)
        assert isinstance(outcome, Approved) and outcome.details is not None
        assert outcome.details.email == ("payer@example.com" if is_wallet else None)
        assert await shared.adapter.inquire(request) == outcome

    async def test_looks_at_a_token_that_is_there(self, shared: Shared) -> None:
        good = Instrument("pm", MethodType.DIGITAL_WALLET, token="paypal-approved")
        outcome = await shared.adapter.execute(verification(shared, good))
        assert isinstance(outcome, Approved) and outcome.reference == "paypal-approved"
        gone = Instrument("pm", MethodType.DIGITAL_WALLET, token="gone-since-long")
        assert code(await shared.adapter.execute(verification(shared, gone))) == "method_revoked"

    @pytest.mark.parametrize("hours", [0, 4])
    async def test_whose_answer_was_lost_is_found(self, shared: Shared, hours: int) -> None:
        shared.simulator.faults.plan(Kind.TIMEOUT_AFTER_EFFECT, on="POST /v3/vault/payment-tokens")
        shared.simulator.faults.timeout_seconds = 0.05
        request = verification(shared, card())
        assert isinstance(await shared.adapter.execute(request), Unknown)
        shared.advance(timedelta(hours=hours))
        outcome = await shared.adapter.inquire(request)
        assert isinstance(outcome, Approved)
        made = [each for each in shared.simulator.vault.tokens.values() if each.customer_id != "customer_test"]
        assert [each.id for each in made] == [outcome.reference]

    async def test_that_left_nothing_was_not_done(self, shared: Shared) -> None:
        shared.simulator.faults.plan(Kind.TIMEOUT_BEFORE_EFFECT, on="POST /v3/vault/payment-tokens")
        shared.simulator.faults.timeout_seconds = 0.05
        request = verification(shared, card())
        assert isinstance(await shared.adapter.execute(request), Unknown)
        shared.advance(timedelta(hours=4))
        assert isinstance(await shared.adapter.inquire(request), Unavailable)

    async def test_of_a_bank_account_is_not_paypals(self, shared: Shared) -> None:
        instrument = Instrument("pm", MethodType.BANK_ACCOUNT)
        assert code(await shared.adapter.execute(verification(shared, instrument))) == "card_not_supported"
        request = MicroDeposits(str(uuid4()), (11, 22), instrument, shared.now())
        assert MicroDeposits not in shared.adapter.requests
        assert isinstance(await shared.adapter.execute(request), Unavailable)  # type: ignore[arg-type]

    def test_names_a_customer_by_our_id(self) -> None:
        names = {customer_id(Instrument(f"pm_{number}", MethodType.CARD)) for number in range(100)}
        assert len(names) == 100 and {len(name) for name in names} == {22}


class TestToken:
    async def test_is_described(self, shared: Shared) -> None:
        outcome = await shared.adapter.execute(Description(str(uuid4()), "card-approved", shared.now()))
        assert isinstance(outcome, Approved) and outcome.details is not None and outcome.details.last4 == "1111"

    async def test_is_gone_once_it_is_given_up(self, shared: Shared) -> None:
        forgetting = Forgetting(str(uuid4()), "paypal-approved", shared.now())
        for _ in range(2):
            assert await shared.adapter.execute(forgetting) == Approved("paypal-approved")
        assert await shared.adapter.inquire(forgetting) == Approved("paypal-approved")
        described = await shared.adapter.execute(Description(str(uuid4()), "paypal-approved", shared.now()))
        assert code(described) == "method_revoked"


async def disputed(shared: Shared) -> tuple[str, str]:
    """The ids of an order and of a dispute about it."""
    wallet = Instrument("pm", MethodType.DIGITAL_WALLET, token="paypal-approved")
    request = Authorization(str(uuid4()), "pay_1", 5000, "USD", wallet, True, shared.now())
    outcome = await shared.adapter.execute(request)
    assert isinstance(outcome, Approved)
    async with httpx.AsyncClient(base_url=shared.base_url, timeout=30, trust_env=False) as customer:
        opened = await customer.post("/test/disputes", json={"capture_id": outcome.step_reference})
    return outcome.reference, opened.json()["dispute_id"]


class TestDispute:
    async def test_is_contested_once(self, shared: Shared) -> None:
        _, dispute_id = await disputed(shared)
        evidence = {
            "uncategorized_text": "Signed for by the customer.",
            "shipping_carrier": "UPS",
            "shipping_tracking_number": "1Z999AA10123456784",
        }
        request = DisputeEvidence(str(uuid4()), dispute_id, evidence, shared.now())
        assert await shared.adapter.execute(request) == Approved(dispute_id)
        assert await shared.adapter.inquire(request) == Approved(dispute_id)
        held = shared.simulator.disputes.by_id[dispute_id].evidences
        assert [each["evidence_type"] for each in held] == ["OTHER", "PROOF_OF_FULFILLMENT"]
        tracking = {"carrier_name": "UPS", "tracking_number": "1Z999AA10123456784"}
        assert held[1]["evidence_info"]["tracking_info"] == [tracking]

    @pytest.mark.parametrize("kind", ["TIMEOUT_AFTER_EFFECT", "TIMEOUT_BEFORE_EFFECT"])
    async def test_whose_answer_was_lost(self, shared: Shared, kind: str) -> None:
        order_id, dispute_id = await disputed(shared)
        shared.simulator.faults.plan(kind, on="POST /v1/customer/disputes/.*")
        shared.simulator.faults.timeout_seconds = 0.05
        request = DisputeAcceptance(str(uuid4()), dispute_id, shared.now())
        assert isinstance(await shared.adapter.execute(request), Unknown)
        assert await shared.adapter.inquire(request) == Approved(dispute_id)
        given_back = shared.simulator.books.of("dispute", order_id)
        assert [entry.amount for entry in given_back] == [5000]

    async def test_that_has_ended_takes_nothing_more(self, shared: Shared) -> None:
        _, dispute_id = await disputed(shared)
        await shared.adapter.execute(DisputeAcceptance(str(uuid4()), dispute_id, shared.now()))
        evidence = DisputeEvidence(str(uuid4()), dispute_id, {"uncategorized_text": "Too late."}, shared.now())
        assert code(await shared.adapter.execute(evidence)) == "processing_error"
        nowhere = DisputeAcceptance(str(uuid4()), "PP-D-0", shared.now())
        assert code(await shared.adapter.execute(nowhere)) == "processing_error"
