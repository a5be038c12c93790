"""PayPal's reasons to our decline codes: the one table, and what a refusal means as an outcome.

Source: the `issue` enumerations of PayPal's OpenAPI documents (Orders v2, Payments v2), the error names of Payouts and
Vault, and the list of processor response codes (`processor_response.response_code`) of Orders v2.
"""

from typing import Final

from bursar.providers.declines import declined
from bursar.providers.paypal.client import Refused
from bursar.providers.port import Declined, Outcome, Unknown

CODES: Final[dict[str, str]] = {
    # the payer
    "INSTRUMENT_DECLINED": "generic_decline",
    "PAYER_ACTION_REQUIRED": "payer_action_required",
    "ORDER_NOT_APPROVED": "payer_action_required",
    "ORDER_IS_PENDING_APPROVAL": "payer_action_required",
    "REDIRECT_PAYER_FOR_ALTERNATE_FUNDING": "payer_action_required",
    "CONSENT_NEEDED": "payer_action_required",
    "PAYER_CANNOT_PAY": "payer_cannot_pay",
    "PAYER_ACCOUNT_RESTRICTED": "payer_cannot_pay",
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED": "payer_cannot_pay",
    "COMPLIANCE_VIOLATION": "payer_cannot_pay",
    "DOMESTIC_TRANSACTION_REQUIRED": "payer_cannot_pay",
    "TRANSACTION_REFUSED": "do_not_honor",
    "TRANSACTION_BLOCKED_BY_PAYEE": "do_not_honor",
    "PAYEE_BLOCKED_TRANSACTION": "do_not_honor",
    "DECLINED_DUE_TO_RELATED_TXN": "do_not_honor",
    "MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED": "card_velocity_exceeded",
    "TRANSACTION_LIMIT_EXCEEDED": "amount_too_large",
    "TRANSACTION_RECEIVING_LIMIT_EXCEEDED": "amount_too_large",
    "MAX_VALUE_EXCEEDED": "amount_too_large",
    "CANNOT_BE_ZERO_OR_NEGATIVE": "amount_too_small",
    "INVALID_CURRENCY_CODE": "currency_not_supported",
    "CURRENCY_NOT_SUPPORTED_FOR_COUNTRY": "currency_not_supported",
    "CURRENCY_NOT_SUPPORTED_FOR_CARD_TYPE": "currency_not_supported",
    "DECIMALS_NOT_SUPPORTED": "currency_not_supported",
    # the card
    "CARD_EXPIRED": "expired_card",
    "REFERENCED_CARD_EXPIRED": "expired_card",
    "INVALID_EXPIRY_DATE": "invalid_expiry",
    "INVALID_SECURITY_CODE_LENGTH": "incorrect_cvc",
    "CARD_BRAND_NOT_SUPPORTED": "card_not_supported",
    "CARD_TYPE_NOT_SUPPORTED": "card_not_supported",
    "PAYMENT_SOURCE_CANNOT_BE_USED": "card_not_supported",
    "PAYMENT_SOURCE_NOT_SUPPORTED": "card_not_supported",
    "PAYMENT_SOURCE_INFO_CANNOT_BE_VERIFIED": "incorrect_number",
    "PAYMENT_SOURCE_DECLINED_BY_PROCESSOR": "generic_decline",
    "BILLING_ADDRESS_INVALID": "incorrect_postal_code",
    "POSTAL_CODE_REQUIRED": "incorrect_postal_code",
    # tokens
    "TOKEN_ID_NOT_FOUND": "method_revoked",
    "TOKEN_NOT_FOUND": "method_revoked",
    "TOKEN_EXPIRED": "method_revoked",
    "AGREEMENT_ALREADY_CANCELLED": "method_revoked",
    "BILLING_AGREEMENT_NOT_FOUND": "method_revoked",
    "MISMATCHED_VAULT_ID_TO_PAYMENT_SOURCE": "method_revoked",
    # the step
    "ORDER_EXPIRED": "authorization_expired",
    "ORDER_COMPLETED_OR_VOIDED": "authorization_expired",
    "AUTHORIZATION_EXPIRED": "authorization_expired",
    "AUTHORIZATION_VOIDED": "already_voided",
    "AUTHORIZATION_DENIED": "amount_not_capturable",
    "AUTHORIZATION_ALREADY_CAPTURED": "already_captured",
    "PREVIOUSLY_CAPTURED": "already_captured",
    "MAX_CAPTURE_AMOUNT_EXCEEDED": "amount_not_capturable",
    "MAX_CAPTURE_COUNT_EXCEEDED": "amount_not_capturable",
    "AUTH_CAPTURE_CURRENCY_MISMATCH": "amount_not_capturable",
    "CAPTURE_FULLY_REFUNDED": "already_refunded",
    "REFUND_AMOUNT_EXCEEDED": "amount_not_refundable",
    "REFUND_AMOUNT_TOO_LOW": "amount_not_refundable",
    "REFUND_CAPTURE_CURRENCY_MISMATCH": "amount_not_refundable",
    "PARTIAL_REFUND_NOT_ALLOWED": "amount_not_refundable",
    "PENDING_CAPTURE": "amount_not_refundable",
    "REFUND_NOT_ALLOWED": "refund_declined",
    "REFUND_TIME_LIMIT_EXCEEDED": "refund_declined",
    "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": "refund_declined",
    "MAX_NUMBER_OF_REFUNDS_EXCEEDED": "refund_declined",
    "TRANSACTION_DISPUTED": "refund_declined",
    "REFUND_FAILED_INSUFFICIENT_FUNDS": "provider_balance_insufficient",
    # payouts
    "INSUFFICIENT_FUNDS": "provider_balance_insufficient",
    "RECEIVER_UNREGISTERED": "account_not_found",
    "RECEIVER_UNCONFIRMED": "account_not_found",
    "RECEIVER_ACCOUNT_INVALID": "account_not_found",
    "RECEIVER_ACCOUNT_LOCKED": "account_frozen",
    "RECEIVING_LIMIT_EXCEEDED": "payout_declined",
    # what the card's bank said
    "00N7": "incorrect_cvc",
    "0390": "incorrect_number",
    "0500": "do_not_honor",
    "0580": "do_not_honor",
    "10BR": "do_not_honor",
    "1320": "currency_not_supported",
    "1330": "incorrect_number",
    "1380": "invalid_expiry",
    "1382": "incorrect_cvc",
    "5100": "generic_decline",
    "5110": "incorrect_cvc",
    "5120": "insufficient_funds",
    "5140": "account_closed",
    "5150": "pickup_card",
    "5160": "do_not_honor",
    "5170": "incorrect_postal_code",
    "5180": "card_not_supported",
    "5190": "incorrect_postal_code",
    "5200": "duplicate_transaction",
    "5210": "card_not_supported",
    "5400": "expired_card",
    "5650": "authentication_required",
    "5700": "card_not_supported",
    "5710": "card_velocity_exceeded",
    "5910": "bank_unavailable",
    "5920": "bank_unavailable",
    "5930": "card_not_supported",
    "5950": "do_not_honor",
    "6300": "incorrect_number",
    "7700": "authentication_failed",
    "7710": "authentication_failed",
    "7800": "incorrect_number",
    "8000": "processing_error",
    "8110": "processing_error",
    "8220": "bank_unavailable",
    "9100": "processing_error",
    "9500": "fraudulent",
    "9510": "fraudulent",
    "9520": "stolen_card",
    "9530": "do_not_honor",
    "9540": "do_not_honor",
    "PCVV": "incorrect_cvc",
    "PP06": "account_closed",
    "PPAB": "do_not_honor",
    "PPAD": "incorrect_postal_code",
    "PPAV": "incorrect_postal_code",
    "PPAX": "amount_too_large",
    "PPC2": "incorrect_cvc",
    "PPCT": "card_not_supported",
    "PPCU": "currency_not_supported",
    "PPD3": "authentication_failed",
    "PPEF": "expired_card",
    "PPEL": "card_velocity_exceeded",
    "PPEX": "invalid_expiry",
    "PPFI": "card_not_supported",
    "PPFR": "card_not_supported",
    "PPNL": "card_velocity_exceeded",
    "PPRN": "do_not_honor",
}
"""PayPal's issue, error name or processor code → ours."""

UNSURE: Final = frozenset(
    {
        "DUPLICATE_INVOICE_ID",
        "DUPLICATE_REQUEST_ID",
        "MAX_AUTHORIZATION_COUNT_EXCEEDED",
        "ORDER_ALREADY_AUTHORIZED",
        "ORDER_ALREADY_CAPTURED",
        "ORDER_COMPLETION_IN_PROGRESS",
        "PREVIOUS_REQUEST_IN_PROGRESS",
        "USER_BUSINESS_ERROR",
    }
)
"""Refusals that say that something was done under our key before, or is being done: looked up, never declined."""


def outcome_of(refusal: Refused) -> Outcome:
    """What a refusal means. An issue that nobody listed is a decline where PayPal judged the request (422), and a fault
    of ours where it did not (400, 403, 404); it did nothing in both.
    """
    if refusal.issue in UNSURE or refusal.fault.name in UNSURE:
        return Unknown(str(refusal))
    code = CODES.get(refusal.issue) or CODES.get(refusal.fault.name)
    return declined(code or ("generic_decline" if refusal.status == 422 else "processing_error"), str(refusal))


def declined_by_bank(response_code: str, otherwise: str) -> Declined:
    """The decline that the card's bank gave as `response_code`; `otherwise` (a code of ours) where it gave none."""
    return declined(CODES.get(response_code, otherwise), f"PayPal declined: {response_code or 'no reason given'}")
