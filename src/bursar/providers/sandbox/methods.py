"""The test methods: what each does, and the numbers, accounts and wallet tokens that stand for them."""

from enum import StrEnum
from typing import Final

import msgspec

from bursar.providers.port import DisputeStatus, Instrument, MethodDetails, MethodType


class Step(StrEnum):
    """Of what a test method's refusal or fault is. CAPTURE: of voids too."""

    AUTHORIZE = "AUTHORIZE"
    CAPTURE = "CAPTURE"
    REFUND = "REFUND"


class Behaviour(msgspec.Struct, frozen=True):
    """What a test method does. decline_code, fault, is_slow: of `step`. sends_back: a refund does not stay done; the
    next inquiry finds that it failed. dispute: as what a capture is disputed at once.
    """

    says: str
    decline_code: str = ""
    fault: str = ""
    step: Step = Step.AUTHORIZE
    is_slow: bool = False
    needs_action: bool = False
    sends_back: bool = False
    dispute: DisputeStatus | None = None


METHODS: Final[dict[str, Behaviour]] = {
    "pm_sandbox_visa": Behaviour("approved"),
    "pm_sandbox_mastercard": Behaviour("approved"),
    "pm_sandbox_declined": Behaviour("declined: generic_decline", decline_code="generic_decline"),
    "pm_sandbox_declined_insufficient_funds": Behaviour(
        "declined: insufficient_funds", decline_code="insufficient_funds"
    ),
    "pm_sandbox_declined_expired_card": Behaviour("declined: expired_card", decline_code="expired_card"),
    "pm_sandbox_declined_stolen_card": Behaviour("declined: stolen_card", decline_code="stolen_card"),
    "pm_sandbox_requires_action": Behaviour(
        "asks for an action first, approved when authorized again", needs_action=True
    ),
    "pm_sandbox_pending": Behaviour("pending; an inquiry finds it approved", fault="pending"),
    "pm_sandbox_slow": Behaviour("approved after a while (BURSAR_SANDBOX_SLOW_SECONDS)", is_slow=True),
    "pm_sandbox_unavailable": Behaviour("certainly not done: the provider is down", fault="unavailable"),
    "pm_sandbox_timeout_after_effect": Behaviour("done, and the answer is lost", fault="after_effect"),
    "pm_sandbox_timeout_before_effect": Behaviour("not done, and the answer is lost", fault="before_effect"),
    "pm_sandbox_capture_declined": Behaviour(
        "authorized; captures are declined", decline_code="capture_declined", step=Step.CAPTURE
    ),
    "pm_sandbox_capture_unavailable": Behaviour(
        "authorized; captures and voids are certainly not done", fault="unavailable", step=Step.CAPTURE
    ),
    "pm_sandbox_capture_timeout_after_effect": Behaviour(
        "authorized; captures and voids are done, and their answer is lost", fault="after_effect", step=Step.CAPTURE
    ),
    "pm_sandbox_capture_timeout_before_effect": Behaviour(
        "authorized; captures and voids are not done, and their answer is lost",
        fault="before_effect",
        step=Step.CAPTURE,
    ),
    "pm_sandbox_refund_declined": Behaviour(
        "paid; refunds are declined", decline_code="refund_declined", step=Step.REFUND
    ),
    "pm_sandbox_refund_pending": Behaviour(
        "paid; refunds are pending; an inquiry finds them done", fault="pending", step=Step.REFUND
    ),
    "pm_sandbox_refund_fails": Behaviour(
        "paid; refunds are done, and the next inquiry finds that the bank has sent them back",
        step=Step.REFUND,
        sends_back=True,
    ),
    "pm_sandbox_refund_pending_fails": Behaviour(
        "paid; refunds are pending; an inquiry finds that they failed",
        fault="pending",
        step=Step.REFUND,
        sends_back=True,
    ),
    "pm_sandbox_refund_unavailable": Behaviour(
        "paid; refunds are certainly not done", fault="unavailable", step=Step.REFUND
    ),
    "pm_sandbox_refund_timeout_after_effect": Behaviour(
        "paid; refunds are done, and their answer is lost", fault="after_effect", step=Step.REFUND
    ),
    "pm_sandbox_refund_timeout_before_effect": Behaviour(
        "paid; refunds are not done, and their answer is lost", fault="before_effect", step=Step.REFUND
    ),
    "pm_sandbox_disputed": Behaviour(
        "paid; the first capture is disputed at once", dispute=DisputeStatus.NEEDS_RESPONSE
    ),
    "pm_sandbox_alerted": Behaviour(
        "paid; the customer's bank warns of the first capture at once", dispute=DisputeStatus.ALERT
    ),
}
"""Test payment methods by id: each is the token of itself."""

CARDS: Final[dict[str, str]] = {
    "4242424242424242": "pm_sandbox_visa",
    "5555555555554444": "pm_sandbox_mastercard",
    "4000000000000002": "pm_sandbox_declined",
    "4000000000009995": "pm_sandbox_declined_insufficient_funds",
    "4000000000000069": "pm_sandbox_declined_expired_card",
    "4000000000009979": "pm_sandbox_declined_stolen_card",
    "4000002500003155": "pm_sandbox_requires_action",
    "4000000000000341": "pm_sandbox_capture_declined",
    "4000000000005126": "pm_sandbox_refund_fails",
    "4000000000007726": "pm_sandbox_refund_pending",
    "4000000000000259": "pm_sandbox_disputed",
    "4000000000001976": "pm_sandbox_alerted",
}
"""Card numbers that behave like a test method; any other valid number is approved."""

ACCOUNTS: Final[dict[str, str]] = {
    "000123456789": "pm_sandbox_visa",
    "000111111116": "pm_sandbox_declined",
    "000222222227": "pm_sandbox_declined_insufficient_funds",
}
"""Account numbers that behave like a test method; any other is approved."""

DEFAULT: Final = "pm_sandbox_visa"


def behaviour_of(instrument: Instrument) -> str:
    """The test method that an instrument stands for."""
    if instrument.token is not None:
        return instrument.token if instrument.token in METHODS else DEFAULT
    if instrument.card is not None:
        return CARDS.get(instrument.card.number, DEFAULT)
    if instrument.bank_account is not None:
        return ACCOUNTS.get(instrument.bank_account.account_number or "", DEFAULT)
    return DEFAULT


def details_of(instrument: Instrument) -> MethodDetails:
    """What the sandbox tells of a test method that came as its token."""
    if instrument.type is not MethodType.CARD:
        return MethodDetails()
    is_mastercard = behaviour_of(instrument) == "pm_sandbox_mastercard"
    brand, last4, first6 = ("MASTERCARD", "4444", "555555") if is_mastercard else ("VISA", "4242", "424242")
    return MethodDetails(brand=brand, last4=last4, exp_month=12, exp_year=2034, bin=first6, country="US")
