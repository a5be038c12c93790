"""Why entries come back (R codes) and what is to be corrected (C codes): NACHA Operating Rules, Appendices 4 and 5.

`decline_code` is our own word for a return, as callers get it.
"""

from enum import StrEnum
from typing import Final, NamedTuple


class Category(StrEnum):
    """Whose doing a return is. ADMINISTRATIVE and UNAUTHORIZED are those that NACHA counts in its rates of returns."""

    FUNDS = "FUNDS"
    ADMINISTRATIVE = "ADMINISTRATIVE"
    UNAUTHORIZED = "UNAUTHORIZED"
    CONSUMER = "CONSUMER"
    BANK = "BANK"
    FORMAT = "FORMAT"
    ENROLLMENT = "ENROLLMENT"
    DISHONORED = "DISHONORED"
    CONTESTED = "CONTESTED"
    INTERNATIONAL = "INTERNATIONAL"


class ReturnReason(NamedTuple):
    """is_retryable: the entry may be presented again, RETRIES_MAX times. is_late: a consumer has 60 days, not two
    banking days, to have the entry returned.
    """

    meaning: str
    category: Category
    decline_code: str
    is_retryable: bool = False
    is_late: bool = False


RETRIES_MAX: Final = 2

_FUNDS = Category.FUNDS
_ADMIN = Category.ADMINISTRATIVE
_UNAUTHORIZED = Category.UNAUTHORIZED
_CONSUMER = Category.CONSUMER
_BANK = Category.BANK
_FORMAT = Category.FORMAT
_ENROLLMENT = Category.ENROLLMENT
_DISHONORED = Category.DISHONORED
_CONTESTED = Category.CONTESTED
_ABROAD = Category.INTERNATIONAL

RETURNS: Final[dict[str, ReturnReason]] = {
    "R01": ReturnReason("Insufficient funds", _FUNDS, "insufficient_funds", is_retryable=True),
    "R02": ReturnReason("Account closed", _ADMIN, "account_closed"),
    "R03": ReturnReason("No account, or unable to locate it", _ADMIN, "account_not_found"),
    "R04": ReturnReason("Invalid account number structure", _ADMIN, "invalid_account_number"),
    "R05": ReturnReason(
        "Unauthorized debit to a consumer account by a corporate SEC code", _UNAUTHORIZED, "unauthorized", is_late=True
    ),
    "R06": ReturnReason("Returned at the originating bank's request", _BANK, "returned_on_request"),
    "R07": ReturnReason("Authorization revoked by the customer", _UNAUTHORIZED, "authorization_revoked", is_late=True),
    "R08": ReturnReason("Payment stopped", _CONSUMER, "payment_stopped"),
    "R09": ReturnReason("Uncollected funds", _FUNDS, "insufficient_funds", is_retryable=True),
    "R10": ReturnReason(
        "The originator is not known to the receiver, or not authorized", _UNAUTHORIZED, "unauthorized", is_late=True
    ),
    "R11": ReturnReason(
        "Not in accordance with the terms of the authorization", _UNAUTHORIZED, "authorization_breached", is_late=True
    ),
    "R12": ReturnReason("Account sold to another bank", _BANK, "account_not_found"),
    "R13": ReturnReason("Invalid ACH routing number", _FORMAT, "invalid_routing_number"),
    "R14": ReturnReason("Representative payee deceased or unable to continue", _CONSUMER, "account_holder_deceased"),
    "R15": ReturnReason("Beneficiary or account holder deceased", _CONSUMER, "account_holder_deceased"),
    "R16": ReturnReason("Account frozen, or returned by instruction of OFAC", _BANK, "account_frozen"),
    "R17": ReturnReason("File record edit criteria, or questionable circumstances", _FORMAT, "invalid_entry"),
    "R18": ReturnReason("Improper effective entry date", _FORMAT, "invalid_entry"),
    "R19": ReturnReason("Amount field error", _FORMAT, "invalid_entry"),
    "R20": ReturnReason("Non-transaction account", _BANK, "account_not_debitable"),
    "R21": ReturnReason("Invalid company identification", _FORMAT, "invalid_entry"),
    "R22": ReturnReason("Invalid individual ID number", _FORMAT, "invalid_entry"),
    "R23": ReturnReason("Credit entry refused by the receiver", _CONSUMER, "refused_by_receiver"),
    "R24": ReturnReason("Duplicate entry", _BANK, "duplicate_entry"),
    "R25": ReturnReason("Addenda error", _FORMAT, "invalid_entry"),
    "R26": ReturnReason("Mandatory field error", _FORMAT, "invalid_entry"),
    "R27": ReturnReason("Trace number error", _FORMAT, "invalid_entry"),
    "R28": ReturnReason("Routing number check digit error", _FORMAT, "invalid_routing_number"),
    "R29": ReturnReason("Corporate customer advises not authorized", _UNAUTHORIZED, "unauthorized"),
    "R30": ReturnReason("Receiving bank does not take part in check truncation", _BANK, "not_supported_by_bank"),
    "R31": ReturnReason("Permissible return entry (CCD and CTX)", _BANK, "returned_on_request"),
    "R32": ReturnReason("Receiving bank cannot settle", _BANK, "bank_unavailable"),
    "R33": ReturnReason("Return of an XCK entry", _BANK, "invalid_entry", is_late=True),
    "R34": ReturnReason("Limited participation of the bank", _BANK, "not_supported_by_bank"),
    "R35": ReturnReason("Return of an improper debit entry", _FORMAT, "invalid_entry"),
    "R36": ReturnReason("Return of an improper credit entry", _FORMAT, "invalid_entry"),
    "R37": ReturnReason("Source document presented for payment", _CONSUMER, "duplicate_entry", is_late=True),
    "R38": ReturnReason("Stop payment on the source document", _CONSUMER, "payment_stopped", is_late=True),
    "R39": ReturnReason("Improper source document, or presented for payment", _BANK, "invalid_entry"),
    "R40": ReturnReason("Return of an ENR entry by a federal agency", _ENROLLMENT, "enrollment_refused"),
    "R41": ReturnReason("Invalid transaction code (ENR)", _ENROLLMENT, "enrollment_refused"),
    "R42": ReturnReason("Routing number or check digit error (ENR)", _ENROLLMENT, "enrollment_refused"),
    "R43": ReturnReason("Invalid account number (ENR)", _ENROLLMENT, "enrollment_refused"),
    "R44": ReturnReason("Invalid individual ID number (ENR)", _ENROLLMENT, "enrollment_refused"),
    "R45": ReturnReason("Invalid individual or company name (ENR)", _ENROLLMENT, "enrollment_refused"),
    "R46": ReturnReason("Invalid representative payee indicator (ENR)", _ENROLLMENT, "enrollment_refused"),
    "R47": ReturnReason("Duplicate enrollment (ENR)", _ENROLLMENT, "enrollment_refused"),
    "R50": ReturnReason("State law affecting RCK acceptance", _BANK, "not_supported_by_bank"),
    "R51": ReturnReason("RCK item ineligible, or RCK entry improper", _UNAUTHORIZED, "unauthorized", is_late=True),
    "R52": ReturnReason("Stop payment on the item of an RCK entry", _CONSUMER, "payment_stopped", is_late=True),
    "R53": ReturnReason("Item and RCK entry both presented", _CONSUMER, "duplicate_entry", is_late=True),
    "R61": ReturnReason("Misrouted return", _DISHONORED, "return_dishonored"),
    "R62": ReturnReason("Return of an erroneous or reversing debit", _DISHONORED, "return_dishonored"),
    "R67": ReturnReason("Duplicate return", _DISHONORED, "return_dishonored"),
    "R68": ReturnReason("Untimely return", _DISHONORED, "return_dishonored"),
    "R69": ReturnReason("Field errors", _DISHONORED, "return_dishonored"),
    "R70": ReturnReason("Permissible return not accepted, or not requested", _DISHONORED, "return_dishonored"),
    "R71": ReturnReason("Misrouted dishonored return", _CONTESTED, "return_contested"),
    "R72": ReturnReason("Untimely dishonored return", _CONTESTED, "return_contested"),
    "R73": ReturnReason("Timely original return", _CONTESTED, "return_contested"),
    "R74": ReturnReason("Corrected return", _CONTESTED, "return_contested"),
    "R75": ReturnReason("Return not a duplicate", _CONTESTED, "return_contested"),
    "R76": ReturnReason("No errors found", _CONTESTED, "return_contested"),
    "R77": ReturnReason("Dishonored return R62 not accepted", _CONTESTED, "return_contested"),
    "R80": ReturnReason("IAT entry coding error", _ABROAD, "invalid_entry"),
    "R81": ReturnReason("Bank does not take part in IAT", _ABROAD, "not_supported_by_bank"),
    "R82": ReturnReason("Invalid foreign receiving bank", _ABROAD, "invalid_routing_number"),
    "R83": ReturnReason("Foreign receiving bank unable to settle", _ABROAD, "bank_unavailable"),
    "R84": ReturnReason("Entry not processed by the gateway", _ABROAD, "not_supported_by_bank"),
    "R85": ReturnReason("Incorrectly coded outbound international payment", _ABROAD, "invalid_entry"),
}
"""The codes that are left out are not assigned (R48, R49, R54 to R60, R78, R79) or retired (R63 to R66, now R69)."""

CHANGES: Final[dict[str, str]] = {
    "C01": "Incorrect account number",
    "C02": "Incorrect routing number",
    "C03": "Incorrect routing number and account number",
    "C04": "Incorrect individual name or receiving company name",
    "C05": "Incorrect transaction code",
    "C06": "Incorrect account number and transaction code",
    "C07": "Incorrect routing number, account number and transaction code",
    "C08": "Incorrect receiving bank (IAT)",
    "C09": "Incorrect individual identification number",
    "C10": "Incorrect company name",
    "C11": "Incorrect company identification",
    "C12": "Incorrect company name and company identification",
    "C13": "Addenda format error",
    "C14": "Incorrect SEC code for an outbound international payment",
}

REFUSED_CHANGES: Final[dict[str, str]] = {
    "C61": "Misrouted notification of change",
    "C62": "Incorrect trace number",
    "C63": "Incorrect company identification number",
    "C64": "Incorrect individual identification number",
    "C65": "Incorrectly formatted corrected data",
    "C66": "Incorrect discretionary data",
    "C67": "Routing number not from the original entry",
    "C68": "Account number not from the original entry",
    "C69": "Incorrect transaction code",
}
