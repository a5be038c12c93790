"""PayPal's answers, as far as we read them. Fields are named as in its OpenAPI documents; what is absent is empty."""

from datetime import datetime

import msgspec


class Amount(msgspec.Struct, frozen=True):
    """`money`. value: a decimal string."""

    currency_code: str
    value: str


class Link(msgspec.Struct, frozen=True):
    """A link to what can be done next."""

    href: str
    rel: str


class Processor(msgspec.Struct, frozen=True):
    """What the card's bank said. response_code: 0000 is approved."""

    response_code: str = ""


class Authorized(msgspec.Struct, frozen=True):
    """An authorization. status: CREATED, PENDING, PARTIALLY_CAPTURED, CAPTURED, DENIED or VOIDED."""

    id: str
    status: str
    amount: Amount | None = None
    invoice_id: str = ""
    expiration_time: datetime | None = None
    processor_response: Processor = Processor()


class Captured(msgspec.Struct, frozen=True):
    """A capture. status: COMPLETED, PENDING, PARTIALLY_REFUNDED, REFUNDED, DECLINED or FAILED."""

    id: str
    status: str
    amount: Amount | None = None
    invoice_id: str = ""
    processor_response: Processor = Processor()


class Refunded(msgspec.Struct, frozen=True):
    """A refund. status: COMPLETED, PENDING, FAILED or CANCELLED. links: `up` leads to its capture."""

    id: str
    status: str
    amount: Amount | None = None
    invoice_id: str = ""
    custom_id: str = ""
    links: tuple[Link, ...] = ()

    @property
    def capture_id(self) -> str:
        """The capture of which it is, where it says."""
        up = [link.href for link in self.links if link.rel == "up"]
        return up[0].rstrip("/").rpartition("/")[2] if up else ""


class Payments(msgspec.Struct, frozen=True):
    """What was done about an order."""

    authorizations: tuple[Authorized, ...] = ()
    captures: tuple[Captured, ...] = ()
    refunds: tuple[Refunded, ...] = ()


class Unit(msgspec.Struct, frozen=True):
    """A purchase unit; our orders have one."""

    amount: Amount | None = None
    payments: Payments = Payments()


class Order(msgspec.Struct, frozen=True):
    """An order. status: CREATED, SAVED, APPROVED, VOIDED, COMPLETED or PAYER_ACTION_REQUIRED."""

    id: str
    status: str
    intent: str = ""
    purchase_units: tuple[Unit, ...] = ()
    links: tuple[Link, ...] = ()


class Related(msgspec.Struct, frozen=True):
    """The ids of what belongs together."""

    order_id: str = ""


class Supplement(msgspec.Struct, frozen=True):
    """Additional data of an authorization or a capture."""

    related_ids: Related = Related()


class Belonging(msgspec.Struct, frozen=True):
    """An authorization or a capture, read to find its order."""

    id: str
    supplementary_data: Supplement = Supplement()


class Detail(msgspec.Struct, frozen=True):
    """One reason of a refusal."""

    issue: str = ""
    description: str = ""


class Fault(msgspec.Struct, frozen=True):
    """The body of a refusal."""

    name: str
    message: str = ""
    details: tuple[Detail, ...] = ()
    links: tuple[Link, ...] = ()


class Token(msgspec.Struct, frozen=True):
    """An OAuth token. expires_in: seconds."""

    access_token: str
    expires_in: int


class BatchHeader(msgspec.Struct, frozen=True):
    """A payout batch. batch_status: PENDING, PROCESSING, SUCCESS, DENIED or CANCELED."""

    payout_batch_id: str
    batch_status: str


class OldAmount(msgspec.Struct, frozen=True):
    """An amount as Payouts v1 writes it."""

    currency: str
    value: str


class ItemDetail(msgspec.Struct, frozen=True):
    """What a payout item is to send."""

    amount: OldAmount


class Item(msgspec.Struct, frozen=True):
    """A payout item. transaction_status: SUCCESS, PENDING, ONHOLD, UNCLAIMED, RETURNED, FAILED, BLOCKED, REFUNDED or
    REVERSED.
    """

    payout_item_id: str
    payout_item: ItemDetail
    transaction_status: str = "PENDING"
    transaction_id: str = ""
    errors: Fault | None = None


class Batch(msgspec.Struct, frozen=True):
    """A payout batch, with its items once they are looked at."""

    batch_header: BatchHeader
    items: tuple[Item, ...] = ()


class VaultedCard(msgspec.Struct, frozen=True):
    """A card in the vault. expiry: 2030-01."""

    brand: str | None = None
    last_digits: str | None = None
    expiry: str | None = None


class VaultedWallet(msgspec.Struct, frozen=True):
    """A PayPal account in the vault."""

    email_address: str | None = None


class Source(msgspec.Struct, frozen=True):
    """What a vault token stands for."""

    card: VaultedCard | None = None
    paypal: VaultedWallet | None = None


class Vaulted(msgspec.Struct, frozen=True):
    """A payment token or a setup token. status (of a setup token): CREATED, PAYER_ACTION_REQUIRED, APPROVED or
    VAULTED.
    """

    id: str
    status: str = ""
    payment_source: Source = Source()
    links: tuple[Link, ...] = ()


class VaultedList(msgspec.Struct, frozen=True):
    """The payment tokens of a customer."""

    payment_tokens: tuple[Vaulted, ...] = ()


class Evidence(msgspec.Struct, frozen=True):
    """A piece of evidence in a dispute."""

    evidence_type: str = ""
    notes: str = ""


class DisputeEnd(msgspec.Struct, frozen=True):
    """How a dispute ended."""

    outcome_code: str = ""


class Disputed(msgspec.Struct, frozen=True):
    """A transaction that is disputed. seller_transaction_id: of our capture."""

    seller_transaction_id: str = ""


class Movement(msgspec.Struct, frozen=True):
    """What a dispute moved. affected_party: SELLER, BUYER or PAYMENT_PROCESSOR. type: DEBIT or CREDIT. reason:
    DISPUTE_SETTLEMENT, or one of its fees.
    """

    affected_party: str = ""
    amount: Amount | None = None
    type: str = ""
    reason: str = ""


class Dispute(msgspec.Struct, frozen=True):
    """A dispute. status: OPEN, WAITING_FOR_BUYER_RESPONSE, WAITING_FOR_SELLER_RESPONSE, UNDER_REVIEW, RESOLVED.
    dispute_life_cycle_stage: INQUIRY, CHARGEBACK, PRE_ARBITRATION or ARBITRATION.
    """

    dispute_id: str
    status: str = ""
    reason: str = ""
    create_time: str = ""
    seller_response_due_date: str = ""
    dispute_life_cycle_stage: str = ""
    dispute_amount: Amount | None = None
    disputed_transactions: tuple[Disputed, ...] = ()
    money_movements: tuple[Movement, ...] = ()
    evidences: tuple[Evidence, ...] = ()
    dispute_outcome: DisputeEnd = DisputeEnd()


class Links(msgspec.Struct, frozen=True):
    """An answer that is only links."""

    links: tuple[Link, ...] = ()


class EventList(msgspec.Struct, frozen=True):
    """A page of webhook events, each as it was sent."""

    events: tuple[msgspec.Raw, ...] = ()
    links: tuple[Link, ...] = ()


class Event(msgspec.Struct, frozen=True):
    """What is read of an event before it is taken in as a webhook's would be."""

    id: str
    event_type: str


class TransactionInfo(msgspec.Struct, frozen=True):
    """A line of PayPal's report. transaction_status: S, P, D (denied) or V (reversed). Instants have no colon in their
    offset: 2026-01-02T03:04:05+0000.
    """

    transaction_id: str
    transaction_event_code: str = ""
    transaction_initiation_date: str = ""
    transaction_status: str = ""
    transaction_amount: Amount | None = None
    fee_amount: Amount | None = None
    invoice_id: str = ""
    paypal_reference_id: str = ""


class Transaction(msgspec.Struct, frozen=True):
    """A line of PayPal's report, wrapped."""

    transaction_info: TransactionInfo


class Report(msgspec.Struct, frozen=True):
    """A page of PayPal's report. last_refreshed_datetime: up to when it is complete."""

    transaction_details: tuple[Transaction, ...] = ()
    last_refreshed_datetime: str = ""
    total_pages: int = 1
