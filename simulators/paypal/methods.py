"""Test payment methods: tokens that are in the vault from the start, and cards by their holder's name or number."""

from typing import Any, Final

import msgspec


class Behaviour(msgspec.Struct, frozen=True):
    """What a payment method does. issue: of the refusal (422) of an order. response_code: of the card's bank, in an
    order that is made and whose payment is declined. is_capture_declined: authorized, and captures are declined.
    is_refund_pending: refunds are, until a test decides.
    """

    says: str
    source: str = "paypal"
    issue: str = ""
    response_code: str = ""
    needs_action: bool = False
    is_pending: bool = False
    is_capture_declined: bool = False
    is_refund_pending: bool = False


APPROVED: Final = Behaviour("approved")
PAYER: Final = {"email_address": "payer@example.com", "account_id": "QYR5Z8XDVJNXQ"}

TOKENS: Final[dict[str, Behaviour]] = {
    "paypal-approved": APPROVED,
    "paypal-declined": Behaviour("refused: INSTRUMENT_DECLINED", issue="INSTRUMENT_DECLINED"),
    "paypal-cannot-pay": Behaviour("refused: PAYER_CANNOT_PAY", issue="PAYER_CANNOT_PAY"),
    "paypal-refused": Behaviour("refused: TRANSACTION_REFUSED", issue="TRANSACTION_REFUSED"),
    "paypal-action-required": Behaviour("asks the payer to approve first", needs_action=True),
    "paypal-pending": Behaviour("pending; approved when it is looked at again", is_pending=True),
    "paypal-capture-declined": Behaviour("authorized; captures are declined", is_capture_declined=True),
    "paypal-refund-pending": Behaviour("approved; refunds stay pending", is_refund_pending=True),
    "card-approved": Behaviour("approved", "card"),
    "card-insufficient-funds": Behaviour("declined: 5120", "card", response_code="5120"),
    "card-expired": Behaviour("declined: 5400", "card", response_code="5400"),
    "card-fraudulent": Behaviour("declined: 9500", "card", response_code="9500"),
    "card-stolen": Behaviour("declined: 9520", "card", response_code="9520"),
    "card-challenged": Behaviour("asks for 3-D Secure first", "card", needs_action=True),
}
"""Payment tokens that are there from the start."""

HOLDERS: Final[dict[str, Behaviour]] = {
    "CCREJECT-REFUSED": Behaviour("declined: 0500", "card", response_code="0500"),
    "CCREJECT-SF": Behaviour("declined: 9500", "card", response_code="9500"),
    "CCREJECT-EC": Behaviour("declined: 5400", "card", response_code="5400"),
    "CCREJECT-IRC": Behaviour("declined: 5180", "card", response_code="5180"),
    "CCREJECT-IF": Behaviour("declined: 5120", "card", response_code="5120"),
    "CCREJECT-LS": Behaviour("declined: 9520", "card", response_code="9520"),
    "CCREJECT-IA": Behaviour("declined: 1330", "card", response_code="1330"),
    "CCREJECT-BANK_ERROR": Behaviour("declined: 5100", "card", response_code="5100"),
    "CCREJECT-CVV_F": Behaviour("declined: 00N7", "card", response_code="00N7"),
}
"""By the card holder's name. Source: PayPal's own card testing, "rejection triggers"."""

NUMBERS: Final[dict[str, Behaviour]] = {
    "4000000000001091": Behaviour("asks for 3-D Secure first", "card", needs_action=True),
}
"""By the card's number; any other one is approved."""

BRANDS: Final[dict[str, str]] = {"4": "VISA", "5": "MASTERCARD", "3": "AMEX", "6": "DISCOVER"}


def of_card(card: dict[str, Any]) -> Behaviour:
    """What a card does that was given by its number."""
    otherwise = NUMBERS.get(card.get("number", ""), TOKENS["card-approved"])
    return HOLDERS.get(card.get("name", ""), otherwise)


def shown_card(card: dict[str, Any]) -> dict[str, Any]:
    """What PayPal shows of a card."""
    number = card["number"]
    return {"last_digits": number[-4:], "expiry": card["expiry"], "brand": BRANDS.get(number[0], "VISA")}


def about() -> list[str]:
    """A line for each test method."""
    return [
        *(f"    vault token {token}: {behaviour.says}" for token, behaviour in TOKENS.items()),
        *(f"    card holder {name}: {behaviour.says}" for name, behaviour in HOLDERS.items()),
        *(f"    card {number}: {behaviour.says}" for number, behaviour in NUMBERS.items()),
        "    any other card: approved; an order without a payment source is approved at its approve link",
    ]
