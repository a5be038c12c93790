"""What the rules allow by Standard Entry Class, service class and transaction code."""

from enum import StrEnum
from typing import Final, NamedTuple

MIXED: Final = 200
CREDITS_ONLY: Final = 220
DEBITS_ONLY: Final = 225
ADVICES: Final = 280
SERVICE_CLASSES: Final = frozenset({MIXED, CREDITS_ONLY, DEBITS_ONLY, ADVICES})

REVERSAL: Final = "REVERSAL"
"""The entry description of a batch that takes back another, so that its direction may be the opposite."""

MICRO_ENTRY: Final = "ACCTVERIFY"
"""The entry description of amounts under a dollar that prove a receiver's access to an account."""
MICRO_AMOUNT_MAX: Final = 99


class AccountType(StrEnum):
    """Of a receiver's account; general ledger and loan accounts are read, but we do not use them."""

    CHECKING = "CHECKING"
    SAVINGS = "SAVINGS"


ACCOUNT_TENS: Final = {AccountType.CHECKING: 20, AccountType.SAVINGS: 30}


class EntryClass(NamedTuple):
    """addenda_type: of the addenda that a forward entry may have, `least` to `most` of them. amount_max: cents."""

    addenda_type: str = ""
    least: int = 0
    most: int = 0
    allows_credit: bool = True
    allows_debit: bool = True
    amount_max: int | None = None
    tells_addenda_count: bool = False


_CHECK: Final = EntryClass(allows_credit=False, amount_max=25_000_00)
_SMALL_CHECK: Final = EntryClass(allows_credit=False, amount_max=2_500_00)
_PLAIN: Final = EntryClass("05", 0, 1)
_TERMINAL: Final = EntryClass("02", 1, 1)

ENTRY_CLASSES: Final[dict[str, EntryClass]] = {
    "ACK": EntryClass("05", 0, 1, allows_debit=False),
    "ADV": EntryClass(),
    "ARC": _CHECK,
    "ATX": EntryClass("05", 0, 9999, allows_debit=False, tells_addenda_count=True),
    "BOC": _CHECK,
    "CCD": _PLAIN,
    "CIE": EntryClass("05", 0, 1, allows_debit=False),
    "COR": EntryClass("98", 1, 1),
    "CTX": EntryClass("05", 0, 9999, tells_addenda_count=True),
    "DNE": EntryClass("05", 1, 1),
    "ENR": EntryClass("05", 1, 9999),
    "IAT": EntryClass(),
    "MTE": _TERMINAL,
    "POP": _CHECK,
    "POS": _TERMINAL,
    "PPD": _PLAIN,
    "RCK": _SMALL_CHECK,
    "SHR": _TERMINAL,
    "TEL": EntryClass(allows_credit=False),
    "TRC": EntryClass(allows_credit=False),
    "TRX": EntryClass("05", 0, 9999, allows_credit=False, tells_addenda_count=True),
    "WEB": _PLAIN,
    "XCK": _SMALL_CHECK,
}

IAT_MANDATORY: Final = ("10", "11", "12", "13", "14", "15", "16")
IAT_REMITTANCES_MAX: Final = 2
IAT_CORRESPONDENTS_MAX: Final = 5
IAT_ADDENDA_MAX: Final = 12

TRANSACTION_CODES: Final = frozenset(
    {*range(21, 25), *range(26, 30), *range(31, 35), *range(36, 40), *range(41, 45), *range(46, 50)}
    | {51, 52, 53, 54, 55, 56}
)
"""Tens: 2 checking, 3 savings, 4 general ledger, 5 loan. Units: 1 to 4 are credits, 6 to 9 debits (of a loan 5, for
reversals); 1 and 6 come back, 2 and 7 are live, 3 and 8 prenotes, 4 and 9 carry no money.
"""
ADVICE_CODES: Final = frozenset(range(81, 89))


def is_return(transaction_code: int) -> bool:
    """Of a return or a notification of change: 21, 26, 31 and so on."""
    return transaction_code in TRANSACTION_CODES and transaction_code % 10 in (1, 6)


def is_prenote(transaction_code: int) -> bool:
    """A trial without money: 23, 28, 33 and so on."""
    return transaction_code in TRANSACTION_CODES and transaction_code % 10 in (3, 8)


def is_zero_dollar(transaction_code: int) -> bool:
    """Remittance data or an acknowledgment without money: 24, 29, 34 and so on."""
    return transaction_code in TRANSACTION_CODES and transaction_code % 10 in (4, 9)


def account_type(transaction_code: int) -> AccountType | None:
    """The account that a transaction code means; None where it is neither checking nor savings."""
    tens = transaction_code // 10 * 10
    return next((kind for kind, own in ACCOUNT_TENS.items() if own == tens), None)
