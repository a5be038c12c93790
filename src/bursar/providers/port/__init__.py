"""What Bursar asks of a payment provider, and the six outcomes that it can get.

An adapter turns every failure into an outcome and raises nothing. The difference that matters: Unavailable is
certainly not done, Unknown may have been done. Every request carries `key`, the same for every repeat of one step; a
provider that has seen a key answers what it answered before.
"""

from bursar.providers.port.disputes import (
    EVIDENCE,
    DisputeAcceptance,
    DisputeEvidence,
    DisputeInspection,
    DisputeReason,
    DisputeState,
    DisputeStatus,
)
from bursar.providers.port.instruments import (
    BankAccount,
    Card,
    Instrument,
    MethodDetails,
    MethodType,
    Wallet,
)
from bursar.providers.port.outcomes import (
    ActionRequired,
    Approved,
    Declined,
    Outcome,
    PaymentState,
    Pending,
    RefundState,
    RefundStatus,
    Unavailable,
    Unknown,
)
from bursar.providers.port.protocols import (
    AccountCorrection,
    BankNews,
    BankRail,
    Movement,
    PaymentProvider,
    Reporting,
    ReportUnavailable,
)
from bursar.providers.port.requests import (
    Authorization,
    Capture,
    Description,
    Forgetting,
    Inspection,
    MicroDeposits,
    Payout,
    Refund,
    RefundInspection,
    Request,
    Verification,
    Void,
)

__all__ = [
    "EVIDENCE",
    "AccountCorrection",
    "ActionRequired",
    "Approved",
    "Authorization",
    "BankAccount",
    "BankNews",
    "BankRail",
    "Capture",
    "Card",
    "Declined",
    "Description",
    "DisputeAcceptance",
    "DisputeEvidence",
    "DisputeInspection",
    "DisputeReason",
    "DisputeState",
    "DisputeStatus",
    "Forgetting",
    "Inspection",
    "Instrument",
    "MethodDetails",
    "MethodType",
    "MicroDeposits",
    "Movement",
    "Outcome",
    "PaymentProvider",
    "PaymentState",
    "Payout",
    "Pending",
    "Refund",
    "RefundInspection",
    "RefundState",
    "RefundStatus",
    "ReportUnavailable",
    "Reporting",
    "Request",
    "Unavailable",
    "Unknown",
    "Verification",
    "Void",
    "Wallet",
]
