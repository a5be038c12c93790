"""The Stripe simulator as the official SDK meets it: payments from creation to refund and dispute."""

from typing import Any

import pytest
import stripe

from simulators.stripe.cards import ACCOUNTS, CARDS
from tests.simulators.conftest import Story

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")  # the SDK's own way with httpx

MANDATE = {"customer_acceptance": {"type": "offline"}}


def number_of(token: str) -> str:
    return next(card.number for card in CARDS if card.token == token)


class TestPaying:
    async def test_automatic_capture(self, story: Story) -> None:
        intent = await story.pay(expand=["latest_charge.balance_transaction"])
        assert (intent.status, intent.amount_received, intent.latest_charge.captured) == ("succeeded", 2000, True)
        entered = intent.latest_charge.balance_transaction
        assert (entered.amount, entered.fee, entered.net) == (2000, 88, 1912)
        assert story.total("captured") == 2000

    async def test_capture_of_a_part_gives_the_rest_back(self, story: Story) -> None:
        intent = await story.pay(capture_method="manual")
        assert (intent.status, intent.amount_capturable, story.total("captured")) == ("requires_capture", 2000, 0)
        intent = await story.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 500})
        assert (intent.status, intent.amount_received, intent.amount_capturable) == ("succeeded", 500, 0)
        assert (story.total("captured"), story.total("released")) == (500, 1500)

    async def test_several_captures(self, story: Story) -> None:
        options: Any = {"card": {"request_multicapture": "if_available"}}
        intent = await story.pay(capture_method="manual", payment_method_options=options)
        captured = story.v1.payment_intents.capture_async
        intent = await captured(intent.id, {"amount_to_capture": 500, "final_capture": False})
        assert (intent.status, intent.amount_received, intent.amount_capturable) == ("requires_capture", 500, 1500)
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            await captured(intent.id, {"amount_to_capture": 1501})
        assert refusal.value.code == "amount_too_large"
        intent = await captured(intent.id, {"amount_to_capture": 700})
        assert (intent.status, intent.amount_received) == ("succeeded", 1200)
        assert (story.total("captured"), story.total("released")) == (1200, 800)

    async def test_a_second_capture_is_refused(self, story: Story) -> None:
        intent = await story.pay(capture_method="manual")
        await story.v1.payment_intents.capture_async(intent.id)
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            await story.v1.payment_intents.capture_async(intent.id)
        assert refusal.value.code == "payment_intent_unexpected_state"
        assert story.total("captured") == 2000

    async def test_cancel_gives_everything_back(self, story: Story) -> None:
        intent = await story.pay(capture_method="manual")
        intent = await story.v1.payment_intents.cancel_async(intent.id, {"cancellation_reason": "duplicate"})
        assert (intent.status, story.total("released"), story.total("captured")) == ("canceled", 2000, 0)

    async def test_an_authorization_ends_after_seven_days(self, story: Story) -> None:
        intent = await story.pay(capture_method="manual")
        await story.control("clock", advance=7 * 86_400)
        intent = await story.v1.payment_intents.retrieve_async(intent.id)
        assert (intent.status, intent.cancellation_reason, story.total("released")) == ("canceled", "automatic", 2000)

    @pytest.mark.parametrize("currency, amount", [("kwd", 5_124), ("isk", 550), ("ugx", 101)])
    async def test_an_amount_that_its_currency_does_not_have_is_refused(
        self, story: Story, currency: str, amount: int
    ) -> None:
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            await story.pay(currency=currency, amount=amount)
        assert refusal.value.param == "amount"

    async def test_create_then_confirm(self, story: Story) -> None:
        intent = await story.pay(confirm=False)
        assert (intent.status, story.total("authorized")) == ("requires_confirmation", 0)
        intent = await story.v1.payment_intents.confirm_async(intent.id)
        assert intent.status == "succeeded"

    async def test_without_payment_method_types_a_return_url_is_needed(self, story: Story) -> None:
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            await story.v1.payment_intents.create_async(
                {"amount": 2000, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa"}
            )
        assert refusal.value.param == "return_url"

    @pytest.mark.parametrize("amount, code", [(49, "amount_too_small"), (100_000_000, "amount_too_large")])
    async def test_amounts_have_limits(self, story: Story, amount: int, code: str) -> None:
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            await story.pay(amount=amount)
        assert refusal.value.code == code


class TestCards:
    @pytest.mark.parametrize("card", [card for card in CARDS if card.refused], ids=lambda card: card.token)
    async def test_decline(self, story: Story, card: Any) -> None:
        with pytest.raises(stripe.CardError) as refusal:
            await story.pay(card.token)
        error = refusal.value
        assert (error.http_status, error.code) == (402, card.refused.code)
        assert error.error is not None
        assert getattr(error.error, "decline_code", None) == card.refused.decline_code
        assert error.error.payment_intent.status == "requires_payment_method"
        assert (story.total("declined"), story.total("authorized")) == (2000, 0)

    async def test_by_number(self, story: Story) -> None:
        card: Any = {"number": number_of("pm_card_mastercard"), "exp_month": 12, "exp_year": 2034, "cvc": "123"}
        method = await story.v1.payment_methods.create_async({"type": "card", "card": card})
        assert method.card is not None
        assert (method.card.brand, method.card.last4) == ("mastercard", "4444")
        assert (await story.pay(method.id)).status == "succeeded"

    @pytest.mark.parametrize(
        "change, code",
        [
            ({"number": "4242424242424241"}, "incorrect_number"),
            ({"exp_month": 13}, "invalid_expiry_month"),
            ({"exp_year": 2020}, "invalid_expiry_year"),
            ({"cvc": "99"}, "invalid_cvc"),
        ],
    )
    async def test_what_is_wrong_with_a_number(self, story: Story, change: Any, code: str) -> None:
        card: Any = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123", **change}
        with pytest.raises(stripe.CardError) as refusal:
            await story.v1.payment_methods.create_async({"type": "card", "card": card})
        assert refusal.value.code == code

    async def test_a_method_without_customer_pays_once(self, story: Story) -> None:
        card: Any = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034}
        method = await story.v1.payment_methods.create_async({"type": "card", "card": card})
        await story.pay(method.id)
        with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
            await story.pay(method.id)
        assert story.total("captured") == 2000

    async def test_a_customers_method_pays_until_it_is_detached(self, story: Story) -> None:
        customer = await story.v1.customers.create_async({"email": "a@example.com"})
        method = await story.v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
        for _ in range(2):
            assert (await story.pay(method.id, customer=customer.id, off_session=True)).status == "succeeded"
        await story.v1.payment_methods.detach_async(method.id)
        with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
            await story.pay(method.id)

    async def test_one_card_can_be_attached_and_declines_later(self, story: Story) -> None:
        customer = await story.v1.customers.create_async({})
        method = await story.v1.payment_methods.attach_async("pm_card_chargeCustomerFail", {"customer": customer.id})
        with pytest.raises(stripe.CardError):
            await story.pay(method.id, customer=customer.id)
        with pytest.raises(stripe.CardError):
            await story.v1.payment_methods.attach_async("pm_card_visa_chargeDeclined", {"customer": customer.id})


class TestAuthentication:
    @pytest.mark.parametrize("method, status", [("automatic", "succeeded"), ("manual", "requires_capture")])
    async def test_succeeds(self, story: Story, method: Any, status: str) -> None:
        intent = await story.pay(
            "pm_card_authenticationRequired", capture_method=method, return_url="https://shop.example/back?x=1"
        )
        assert (intent.status, intent.next_action.type) == ("requires_action", "redirect_to_url")
        assert story.total("authorized") == 0
        page = intent.next_action.redirect_to_url.url
        assert "outcome=succeed" in (await story.http.get(page)).text
        back = await story.http.get(page, params={"outcome": "succeed"})
        assert back.headers["Location"].startswith(f"https://shop.example/back?x=1&payment_intent={intent.id}")
        assert (await story.v1.payment_intents.retrieve_async(intent.id)).status == status
        assert story.total("authorized") == 2000

    async def test_fails(self, story: Story) -> None:
        intent = await story.pay("pm_card_authenticationRequired")
        assert intent.next_action.type == "use_stripe_sdk"
        await story.http.get(intent.next_action.use_stripe_sdk["stripe_js"], params={"outcome": "fail"})
        intent = await story.v1.payment_intents.retrieve_async(intent.id)
        assert intent.status == "requires_payment_method"
        assert intent.last_payment_error.code == "payment_intent_authentication_failure"
        assert story.total("authorized") == 0

    async def test_is_refused_off_session(self, story: Story) -> None:
        with pytest.raises(stripe.CardError) as refusal:
            await story.pay("pm_card_authenticationRequired", off_session=True)
        assert refusal.value.code == "authentication_required"

    async def test_once_is_enough_for_one_card(self, story: Story) -> None:
        customer = await story.v1.customers.create_async({})
        setup = await story.v1.setup_intents.create_async(
            {
                "customer": customer.id,
                "payment_method": "pm_card_authenticationRequiredOnSetup",
                "payment_method_types": ["card"],
                "confirm": True,
            }
        )
        assert setup.status == "requires_action"
        await story.http.get(f"{story.url}/_sim/authenticate/{setup.id}", params={"outcome": "succeed"})
        setup = await story.v1.setup_intents.retrieve_async(setup.id)
        assert setup.status == "succeeded"
        paid = await story.pay(str(setup.payment_method), customer=customer.id, off_session=True)
        assert paid.status == "succeeded"


class TestSetup:
    async def test_succeeds_without_money(self, story: Story) -> None:
        setup = await story.v1.setup_intents.create_async(
            {"payment_method": "pm_card_visa", "payment_method_types": ["card"], "confirm": True}
        )
        assert (setup.status, story.total("authorized")) == ("succeeded", 0)

    async def test_is_declined(self, story: Story) -> None:
        with pytest.raises(stripe.CardError) as refusal:
            await story.v1.setup_intents.create_async(
                {"payment_method": "pm_card_visa_chargeDeclined", "payment_method_types": ["card"], "confirm": True}
            )
        assert refusal.value.error is not None
        assert refusal.value.error.setup_intent.status == "requires_payment_method"

    async def test_a_bank_account_by_small_deposits(self, story: Story) -> None:
        account: Any = {"account_number": "000123456789", "routing_number": "110000000"}
        method = await story.v1.payment_methods.create_async(
            {
                "type": "us_bank_account",
                "us_bank_account": {**account, "account_holder_type": "individual"},
                "billing_details": {"name": "Jenny Rosen"},
            }
        )
        params: Any = {"payment_method": method.id, "payment_method_types": ["us_bank_account"], "confirm": True}
        setup = await story.v1.setup_intents.create_async({**params, "mandate_data": MANDATE})
        assert setup.next_action is not None
        assert setup.next_action.type == "verify_with_microdeposits"
        with pytest.raises(stripe.InvalidRequestError):
            await story.v1.setup_intents.verify_microdeposits_async(setup.id, {"amounts": [1, 2]})
        setup = await story.v1.setup_intents.verify_microdeposits_async(setup.id, {"amounts": [32, 45]})
        assert setup.status == "succeeded"


class TestBankDebits:
    @pytest.mark.parametrize("account", ACCOUNTS, ids=lambda account: account.token)
    async def test_ends_after_days(self, story: Story, account: Any) -> None:
        intent = await story.pay(account.token, mandate_data=MANDATE)
        assert (intent.status, story.total("captured")) == ("processing", 0)
        await story.control("settle")
        intent = await story.v1.payment_intents.retrieve_async(intent.id)
        if account.is_stuck:
            assert intent.status == "processing"
        elif account.failure:
            assert (intent.status, intent.last_payment_error.code) == ("requires_payment_method", account.failure)
        else:
            assert (intent.status, story.total("captured")) == ("succeeded", 2000)


class TestRefunds:
    async def test_in_parts_and_never_more(self, story: Story) -> None:
        intent = await story.pay()
        refund = await story.v1.refunds.create_async({"payment_intent": intent.id, "amount": 1500})
        assert (refund.status, refund.amount) == ("succeeded", 1500)
        with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
            await story.v1.refunds.create_async({"payment_intent": intent.id, "amount": 501})
        await story.v1.refunds.create_async({"payment_intent": intent.id})
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            await story.v1.refunds.create_async({"payment_intent": intent.id})
        assert refusal.value.code == "charge_already_refunded"
        assert story.total("refunded") == 2000

    @pytest.mark.parametrize(
        "token, first, last, left",
        [("pm_card_pendingRefund", "pending", "succeeded", 2000), ("pm_card_refundFail", "succeeded", "failed", 0)],
    )
    async def test_that_end_later(self, story: Story, token: str, first: str, last: str, left: int) -> None:
        intent = await story.pay(token)
        refund = await story.v1.refunds.create_async({"payment_intent": intent.id})
        assert refund.status == first
        await story.control("settle")
        assert (await story.v1.refunds.retrieve_async(refund.id)).status == last
        assert story.total("refunded") == left


class TestDisputes:
    @pytest.mark.parametrize("text, outcome, lost", [("winning_evidence", "won", 0), ("losing_evidence", "lost", 2000)])
    async def test_evidence_decides(self, story: Story, text: str, outcome: str, lost: int) -> None:
        intent = await story.pay("pm_card_createDispute")
        (dispute,) = (await story.v1.disputes.list_async({"payment_intent": intent.id})).data
        assert (dispute.status, dispute.reason, story.total("disputed")) == ("needs_response", "fraudulent", 2000)
        dispute = await story.v1.disputes.update_async(dispute.id, {"evidence": {"uncategorized_text": text}})
        assert (dispute.status, story.total("disputed")) == (outcome, lost)

    async def test_opened_by_hand_and_accepted(self, story: Story) -> None:
        intent = await story.pay()
        opened = await story.control("disputes", payment_intent=intent.id, amount=700, reason="duplicate")
        dispute = await story.v1.disputes.close_async(opened["id"])
        assert (dispute.status, dispute.amount, story.total("disputed")) == ("lost", 700, 700)
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            await story.v1.refunds.create_async({"payment_intent": intent.id})
        assert refusal.value.code == "charge_disputed"

    async def test_an_inquiry_takes_money_once_it_is_escalated(self, story: Story) -> None:
        intent = await story.pay("pm_card_createDisputeInquiry")
        (inquiry,) = (await story.v1.disputes.list_async({"payment_intent": intent.id})).data
        assert (inquiry.status, story.total("disputed"), inquiry.balance_transactions) == (
            "warning_needs_response",
            0,
            [],
        )
        await story.control(f"disputes/{inquiry.id}", outcome="escalated")
        dispute = await story.v1.disputes.retrieve_async(inquiry.id)
        assert (dispute.status, story.total("disputed"), len(dispute.balance_transactions)) == (
            "needs_response",
            2000,
            1,
        )


class TestFraudWarnings:
    @pytest.mark.parametrize("ends", ["refund", "dispute"])
    async def test_are_actionable_until_the_charge_is_refunded_or_disputed(self, story: Story, ends: str) -> None:
        intent = await story.pay("pm_card_createIssuerFraudRecord")
        warnings = story.v1.radar.early_fraud_warnings
        (warning,) = (await warnings.list_async({"payment_intent": intent.id})).data
        assert (warning.actionable, warning.charge) == (True, intent.latest_charge)
        if ends == "refund":
            await story.v1.refunds.create_async({"payment_intent": intent.id})
        else:
            await story.control("disputes", payment_intent=intent.id)
        assert not (await warnings.retrieve_async(warning.id)).actionable

    async def test_are_given_by_hand(self, story: Story) -> None:
        intent = await story.pay()
        given = await story.control("early_fraud_warnings", payment_intent=intent.id)
        assert (await story.v1.radar.early_fraud_warnings.retrieve_async(given["id"])).payment_intent == intent.id
