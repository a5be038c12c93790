"""Stripe's balance report, itemized, as CSV.

The columns that are read, by name and in any order: balance_transaction_id, created_utc (or created), currency, gross,
fee, net, reporting_category; and, where they are there, source_id, charge_id, payment_intent_id, refund_id. Others
(available_on_utc, description, …) are passed over. Amounts are decimal numbers of main units: 5.00 of ISK is 5 minor
units here, though Stripe's API counts hundredths of it, and 100 of MGA is 10000; so no table of exceptions is needed.
Source: docs.stripe.com/reports/report-types (balance_change_from_activity.itemized, payouts.itemized) and
docs.stripe.com/reports/reporting-categories.
"""

from collections.abc import Mapping
from typing import Final

from bursar.domains.reconciliations.formats.reading import (
    LineUnreadable,
    Rows,
    csv_lines,
    currency_of,
    from_decimal,
    moment,
    reference,
    row_id_of,
    text_of,
)
from bursar.domains.reconciliations.model import LineFault, Movement, Statement, Unreadable

REQUIRED: Final = ("balance_transaction_id", "currency", "gross", "fee", "net", "reporting_category")
CREATED: Final = ("created_utc", "created")
SOURCES: Final[dict[Movement, tuple[str, ...]]] = {
    Movement.CHARGE: ("payment_intent_id", "source_id", "charge_id"),
    Movement.FAILURE: ("payment_intent_id", "charge_id", "source_id"),
}
"""The columns that say what a row is of, the most telling first; of all other movements OTHER_SOURCES."""

OTHER_SOURCES: Final = ("source_id", "refund_id", "payment_intent_id", "charge_id")
TIMES: Final = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M", "%Y-%m-%d")

MOVEMENTS: Final[dict[str, Movement]] = {
    "charge": Movement.CHARGE,
    "refund": Movement.REFUND,
    "refund_failure": Movement.REFUND,
    "charge_failure": Movement.FAILURE,
    "dispute": Movement.DISPUTE,
    "dispute_reversal": Movement.DISPUTE,
    "payout": Movement.PAYOUT,
    "payout_reversal": Movement.PAYOUT,
    "fee": Movement.FEE,
    "network_cost": Movement.FEE,
    "tax": Movement.FEE,
}
"""By reporting category; any other (transfers to connected accounts, reserves, advances) is an ADJUSTMENT, which a
person has to look at.
"""


def is_header(line: str) -> bool:
    """Whether a file whose first line is this is Stripe's."""
    return {"balance_transaction_id", "reporting_category"} <= {name.strip(' "\r') for name in line.split(",")}


def read(content: bytes) -> Statement:
    """Every row of the report. Raises Unreadable with the lines that cannot be read."""
    lines = csv_lines(text_of(content))
    _, header = next(lines, (1, []))
    names = [name.strip() for name in header]
    missing = [name for name in REQUIRED if name not in names]
    if not set(CREATED) & set(names):
        missing.append(CREATED[0])
    if missing:
        raise Unreadable((LineFault(1, f"no column {', '.join(missing)}"),))
    if len(set(names)) != len(names):
        raise Unreadable((LineFault(1, "a column is there twice"),))
    rows = Rows()
    for number, fields in lines:
        if len(fields) != len(names):
            rows.refuse(number, f"{len(fields)} fields in place of {len(names)}")
            continue
        try:
            _take(rows, number, dict(zip(names, fields, strict=True)))
        except LineUnreadable as error:
            rows.refuse(number, str(error))
    return Statement(rows.taken())


def _take(rows: Rows, number: int, values: Mapping[str, str]) -> None:
    currency = currency_of(values["currency"])
    movement = MOVEMENTS.get(values["reporting_category"].strip(), Movement.ADJUSTMENT)
    row_id = row_id_of(values["balance_transaction_id"])
    if not row_id:
        raise LineUnreadable("no balance_transaction_id")
    created = next(values[name] for name in CREATED if name in values)
    rows.add(
        number,
        row_id,
        movement,
        [reference(values.get(name, "")) for name in SOURCES.get(movement, OTHER_SOURCES)],
        currency=currency,
        gross=from_decimal(values["gross"], currency),
        fee=from_decimal(values["fee"], currency),
        net=from_decimal(values["net"], currency),
        occurred_at=moment(created, *TIMES),
    )
