"""Test accounts: what becomes of an entry, by the last four digits of the account number or the IBAN."""

from datetime import date, timedelta
from typing import Final

import msgspec

SATURDAY: Final = 5


class Course(msgspec.Struct, frozen=True):
    """What comes back. code: R.. returns, C.. corrects; of SEPA a reason code. days: banking days after the entry's
    date. data: of a correction, as in its addenda.
    """

    code: str
    says: str
    days: int = 1
    data: str = ""


ACH: Final[dict[str, Course]] = {
    "0116": Course("R02", "returned: account closed"),
    "0127": Course("R01", "returned: insufficient funds"),
    "0133": Course("C01", "correction: the account is 9876540999", data="9876540999"),
    "0141": Course("R03", "returned: no such account"),
    "0158": Course("R10", "returned as not authorized, 8 banking days later", days=8),
    "0164": Course("C03", "correction: the bank is 021000021, the account 9876541888", data="021000021   9876541888"),
    "0172": Course("R16", "returned: account frozen"),
    "0189": Course("C05", "correction: a savings account (transaction code 37)", data="37"),
}

SEPA: Final[dict[str, Course]] = {
    "0116": Course("AC04", "rejected: account closed", days=0),
    "0127": Course("AM04", "rejected: insufficient funds", days=0),
    "0141": Course("AC01", "rejected: no such account", days=0),
    "0158": Course("AC04", "rejected 8 banking days later", days=8),
    "0172": Course("AC06", "rejected: account frozen", days=0),
}
"""Any other is paid (ACSC) on its date."""

ABOUT: Final = "\n".join(
    [
        '    POST /files {"name", "content"}; GET /files; GET /files/{name}',
        *(f"    account …{ending}: {course.says}" for ending, course in ACH.items()),
        *(f"    IBAN …{ending}: {course.says}" for ending, course in SEPA.items()),
        "    any other: paid",
    ]
)


def after(day: date, count: int) -> date:
    """The weekday that lies `count` weekdays after `day`. This bank knows no holidays."""
    while count or day.weekday() >= SATURDAY:
        day += timedelta(days=1)
        count -= count > 0 and day.weekday() < SATURDAY
    return day
