"""Transaction Search v1, made of the books: what was done shows up three hours later, newest last."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from simulators.kit.books import Entry
from simulators.kit.message import Answer, Refusal, Request, Route
from simulators.paypal.desk import Desk
from simulators.paypal.orders import Orders
from simulators.paypal.words import error, is_date, money, report_moment

LAG_SECONDS: Final = 3 * 3_600
RANGE_SECONDS_MAX: Final = 31 * 86_400

CODES: Final[dict[str, tuple[str, int]]] = {
    # kind of entry: (transaction event code, sign of the amount)
    "authorization": ("T1300", 1),
    "void": ("T1302", -1),
    "capture": ("T0006", 1),
    "refund": ("T1107", -1),
    "dispute": ("T1201", -1),
    "dispute_fee": ("T0106", -1),
    "payout": ("T0001", -1),
    "payout_return": ("T1106", 1),
}
FEE_BPS: Final = 349
"""Of captures."""
NOT_BALANCE: Final = ("T1300", "T1302")


class Reports:
    """The report of transactions. The document of this API is not among ours, so nobody checks these answers."""

    def __init__(self, desk: Desk, orders: Orders) -> None:
        self.desk = desk
        self.orders = orders

    def routes(self) -> Sequence[Route]:
        """Transaction Search v1."""
        return (Route("GET", "/v1/reporting/transactions", self._search, is_documented=False),)

    def _search(self, request: Request) -> Answer:
        query = request.query
        if not all(is_date(query.get(name, "")) for name in ("start_date", "end_date")):
            raise Refusal(error(400, "INVALID_PARAMETER_SYNTAX"))
        start, end = (datetime.fromisoformat(query[name]).timestamp() for name in ("start_date", "end_date"))
        if not 0 <= end - start <= RANGE_SECONDS_MAX:
            raise Refusal(error(400, "Date range is greater than 31 days"))
        refreshed = self.desk.clock.now() - LAG_SECONDS
        is_balance_only = query.get("balance_affecting_records_only", "Y") == "Y"
        found = [
            (entry, CODES[entry.kind])
            for entry in self.desk.books.entries
            if start <= entry.at <= min(end, refreshed)
            and not (is_balance_only and CODES[entry.kind][0] in NOT_BALANCE)
        ]
        size, page = int(query.get("page_size", "100")), int(query.get("page", "1"))
        shown = found[(page - 1) * size : page * size]
        return Answer(
            200,
            {
                "transaction_details": [{"transaction_info": self._told(*each)} for each in shown],
                "start_date": query["start_date"],
                "end_date": query["end_date"],
                "last_refreshed_datetime": report_moment(refreshed),
                "page": page,
                "total_items": len(found),
                "total_pages": max(1, -(-len(found) // size)),
            },
        )

    def _told(self, entry: Entry, code: tuple[str, int]) -> dict[str, Any]:
        info: dict[str, Any] = {
            "transaction_id": entry.facts.get("id", f"{entry.kind[:2].upper()}-{entry.reference}-{entry.at}"),
            "transaction_event_code": code[0],
            "transaction_initiation_date": report_moment(entry.at),
            "transaction_status": "S",
            "transaction_amount": money(code[1] * entry.amount, entry.currency),
            "paypal_reference_id": entry.reference,
        }
        if entry.kind == "capture":
            fee = entry.amount * FEE_BPS // 10_000
            fee -= fee % 100 if entry.currency in ("HUF", "TWD") else 0
            info["fee_amount"] = money(-fee, entry.currency)
        if invoice_id := entry.facts.get("invoice_id"):
            info["invoice_id"] = invoice_id
        return info
