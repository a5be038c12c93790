"""The decline codes of every provider, mapped once: whether another try may succeed, and what to tell the customer."""

from typing import Final, NamedTuple

from bursar.providers.port import Declined


class Decline(NamedTuple):
    """is_retryable: the same method may succeed later. advice: to the customer."""

    is_retryable: bool
    advice: str


DECLINES: Final[dict[str, Decline]] = {
    # the card or account
    "generic_decline": Decline(False, "Ask your bank, or use another payment method."),
    "insufficient_funds": Decline(True, "There is not enough money on the account; try later or use another one."),
    "card_velocity_exceeded": Decline(True, "The card's limit is reached; try later or use another one."),
    "expired_card": Decline(False, "The card has expired; use another one."),
    "incorrect_number": Decline(False, "The card number is wrong; enter it again."),
    "incorrect_cvc": Decline(False, "The security code is wrong; enter it again."),
    "incorrect_postal_code": Decline(False, "The postal code does not match; enter the billing address again."),
    "invalid_expiry": Decline(False, "The expiry date is wrong; enter it again."),
    "card_not_supported": Decline(False, "This card cannot be used for this purchase; use another one."),
    "currency_not_supported": Decline(False, "This method cannot pay in this currency; use another one."),
    "authentication_required": Decline(True, "Your bank wants you to confirm; try again and confirm."),
    "authentication_failed": Decline(True, "The confirmation failed; try again or use another payment method."),
    "do_not_honor": Decline(False, "Ask your bank, or use another payment method."),
    # never to be tried again, and never to be explained to whoever holds the card
    "stolen_card": Decline(False, "Use another payment method."),
    "lost_card": Decline(False, "Use another payment method."),
    "pickup_card": Decline(False, "Use another payment method."),
    "fraudulent": Decline(False, "Use another payment method."),
    # bank accounts
    "account_closed": Decline(False, "The account is closed; use another one."),
    "account_not_found": Decline(False, "There is no such account; enter it again."),
    "invalid_account_number": Decline(False, "The account number is wrong; enter it again."),
    "invalid_routing_number": Decline(False, "The bank's routing number is wrong; enter it again."),
    "account_frozen": Decline(False, "The account is frozen; ask your bank."),
    "debit_not_authorized": Decline(False, "The account's owner has not allowed this debit."),
    "authorization_revoked": Decline(False, "The permission to debit was taken back; give it anew."),
    "payment_stopped": Decline(False, "The account's owner has stopped this payment."),
    "bank_unavailable": Decline(True, "The bank could not be reached; try later."),
    # wallets and tokens
    "method_revoked": Decline(False, "This payment method is not valid any more; add it again."),
    "payer_action_required": Decline(True, "Approve the payment in your wallet, then try again."),
    "payer_cannot_pay": Decline(False, "The wallet cannot pay this; use another payment method."),
    # the step itself
    "authorization_expired": Decline(False, "The reservation has expired; pay again."),
    "already_captured": Decline(False, "This payment was taken before."),
    "already_voided": Decline(False, "This payment was given back before."),
    "already_refunded": Decline(False, "This payment was refunded before."),
    "amount_not_capturable": Decline(False, "This amount cannot be taken."),
    "amount_not_refundable": Decline(False, "This amount cannot be refunded."),
    "amount_too_small": Decline(False, "The amount is too small for this payment method."),
    "amount_too_large": Decline(False, "The amount is too large for this payment method."),
    "capture_declined": Decline(False, "The bank refused to pay; use another payment method."),
    "refund_declined": Decline(False, "The refund was refused; ask us for another way."),
    "payout_declined": Decline(False, "The payout was refused; check the account."),
    "duplicate_transaction": Decline(False, "The same payment was made a moment ago."),
    "provider_balance_insufficient": Decline(True, "The payout has to wait for money at the provider."),
    "processing_error": Decline(True, "Something went wrong at the bank; try again."),
    "test_mode": Decline(False, "A test card cannot pay for real."),
}
"""Every code that callers can meet as `declineCode`. docs/errors.md is made from this table."""


def declined(code: str, message: str) -> Declined:
    """The outcome for one of our codes; one that nobody listed is a generic decline. message: the provider's words."""
    known = code if code in DECLINES else "generic_decline"
    return Declined(known, message, is_retryable=DECLINES[known].is_retryable, advice=DECLINES[known].advice)
