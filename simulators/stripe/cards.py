"""The test cards and test bank accounts that Stripe documents (docs.stripe.com/testing), and what each does."""

from typing import Final, NamedTuple


class Refused(NamedTuple):
    """A card error: its code, and the issuer's decline code where there is one."""

    code: str
    decline_code: str | None
    message: str


class Card(NamedTuple):
    """number, token: two ways to name it; a third is its token with `tok_` for `pm_card_`. refused: on every use; with
    `is_late` it can be attached first. authentication: ALWAYS, or UNLESS_SET_UP. dispute: the reason of the dispute
    that follows a charge; an INQUIRY, or a WARNING of fraud, takes no money. refund: PENDING (succeeds later) or FAILS
    (later).
    """

    number: str
    token: str
    brand: str = "visa"
    funding: str = "credit"
    refused: Refused | None = None
    is_late: bool = False
    authentication: str = ""
    dispute: str = ""
    refund: str = ""

    def says(self) -> str:
        """What it does, in a few words."""
        if self.refused:
            words = f"declined: {self.refused.decline_code or self.refused.code}"
            return f"can be attached, then {words}" if self.is_late else words
        if self.authentication:
            return f"asks for authentication {self.authentication.lower().replace('_', ' ')}"
        if self.dispute:
            then = "is warned of" if self.dispute == "WARNING" else f"is disputed: {self.dispute.lower()}"
            return f"succeeds, then {then}"
        return f"succeeds, refunds: {self.refund.lower()}" if self.refund else "succeeds"


def _declined(decline_code: str, more: str = "") -> Refused:
    return Refused("card_declined", decline_code, f"Your card {more or 'was declined.'}")


DECLINED: Final = _declined("generic_decline")
_FUNDS: Final = _declined("insufficient_funds", "has insufficient funds.")
_EXPIRED: Final = Refused("expired_card", None, "Your card has expired.")
_CVC: Final = Refused("incorrect_cvc", None, "Your card's security code is incorrect.")
_PROCESSING: Final = Refused(
    "processing_error", None, "An error occurred while processing your card. Try again in a little bit."
)
LIVE: Final = _declined(
    "test_mode_live_card", "was declined. Your request was in test mode, but used a non test (live) card."
)

CARDS: Final = (
    Card("4242424242424242", "pm_card_visa"),
    Card("4000056655665556", "pm_card_visa_debit", funding="debit"),
    Card("5555555555554444", "pm_card_mastercard", "mastercard"),
    Card("378282246310005", "pm_card_amex", "amex"),
    Card("6011111111111117", "pm_card_discover", "discover"),
    Card("4000000000000002", "pm_card_visa_chargeDeclined", refused=DECLINED),
    Card("4000000000009995", "pm_card_visa_chargeDeclinedInsufficientFunds", refused=_FUNDS),
    Card("4000000000009987", "pm_card_visa_chargeDeclinedLostCard", refused=_declined("lost_card")),
    Card("4000000000009979", "pm_card_visa_chargeDeclinedStolenCard", refused=_declined("stolen_card")),
    Card("4000000000000069", "pm_card_chargeDeclinedExpiredCard", refused=_EXPIRED),
    Card("4000000000000127", "pm_card_chargeDeclinedIncorrectCvc", refused=_CVC),
    Card("4000000000000119", "pm_card_chargeDeclinedProcessingError", refused=_PROCESSING),
    Card(
        "4000000000006975",
        "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
        refused=_declined("card_velocity_exceeded", "was declined for making repeated attempts too frequently."),
    ),
    Card("4100000000000019", "pm_card_radarBlock", refused=_declined("fraudulent")),
    Card("4000000000000341", "pm_card_chargeCustomerFail", refused=DECLINED, is_late=True),
    Card("4000002500003155", "pm_card_authenticationRequiredOnSetup", authentication="UNLESS_SET_UP"),
    Card("4000002760003184", "pm_card_authenticationRequired", authentication="ALWAYS"),
    Card("4000000000003220", "pm_card_threeDSecure2Required", authentication="ALWAYS"),
    Card("4000000000000259", "pm_card_createDispute", dispute="FRAUDULENT"),
    Card("4000000000002685", "pm_card_createDisputeProductNotReceived", dispute="PRODUCT_NOT_RECEIVED"),
    Card("4000000000001976", "pm_card_createDisputeInquiry", dispute="INQUIRY"),
    Card("4000000000005423", "pm_card_createIssuerFraudRecord", dispute="WARNING"),
    Card("4000000000007726", "pm_card_pendingRefund", refund="PENDING"),
    Card("4000000000005126", "pm_card_refundFail", refund="FAILS"),
)
BY_NUMBER: Final = {card.number: card for card in CARDS}
BY_TOKEN: Final = {card.token: card for card in CARDS}


class Account(NamedTuple):
    """A US bank account (routing number 110000000). failure: how a debit of it, or a payout to it, ends later.
    is_stuck: a debit stays processing.
    """

    number: str
    token: str
    failure: str = ""
    is_stuck: bool = False


ROUTING_NUMBER: Final = "110000000"
ACCOUNTS: Final = (
    Account("000123456789", "pm_usBankAccount_success"),
    Account("000111111113", "pm_usBankAccount_accountClosed", "account_closed"),
    Account("000111111116", "pm_usBankAccount_noAccount", "no_account"),
    Account("000222222227", "pm_usBankAccount_insufficientFunds", "insufficient_funds"),
    Account("000333333335", "pm_usBankAccount_debitNotAuthorized", "debit_not_authorized"),
    Account("000444444440", "pm_usBankAccount_invalidCurrency", "invalid_currency"),
    Account("000000000009", "pm_usBankAccount_processing", is_stuck=True),
)
ACCOUNT_BY_NUMBER: Final = {account.number: account for account in ACCOUNTS}
ACCOUNT_BY_TOKEN: Final = {account.token: account for account in ACCOUNTS}

MICRODEPOSIT_AMOUNTS: Final = [32, 45]
MICRODEPOSIT_CODE: Final = "SM11AA"


def is_luhn(number: str) -> bool:
    """Whether a card number's last digit fits the others (ISO/IEC 7812-1)."""
    if not number.isdecimal() or not 12 <= len(number) <= 19:
        return False
    digits = [int(digit) for digit in reversed(number)]
    return sum(digits[0::2] + [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]) % 10 == 0


def about() -> str:
    """The test cards and accounts as `python -m simulators` prints them."""
    lines = [f"  {card.number:<19} {card.token:<49} {card.says()}" for card in CARDS]
    for account in ACCOUNTS:
        says = account.failure or ("stays processing" if account.is_stuck else "succeeds")
        lines.append(f"  {ROUTING_NUMBER}/{account.number:<9} {account.token:<43} {says}")
    lines.append("  a debit, payout or refund that takes days ends at POST /_sim/settle")
    return "\n".join(lines)
