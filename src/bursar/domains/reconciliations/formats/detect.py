"""Which format a file has, by how it begins, and its reader."""

from collections.abc import Callable
from typing import Final

from bursar.domains.reconciliations.formats import camt, paypal, stripe
from bursar.domains.reconciliations.model import Format, Statement

HEAD_LENGTH: Final = 16_384

READERS: Final[dict[Format, Callable[[bytes], Statement]]] = {
    Format.STRIPE_BALANCE_CSV: stripe.read,
    Format.PAYPAL_CSV: paypal.read,
    Format.CAMT_053: camt.read,
}


def detect(content: bytes) -> Format | None:
    """The format of a file; None where it is none of ours."""
    head = content[:HEAD_LENGTH].decode("utf-8", "replace")
    if camt.is_document(head):
        return Format.CAMT_053
    first = head.lstrip("\ufeff").partition("\n")[0]
    if stripe.is_header(first):
        return Format.STRIPE_BALANCE_CSV
    return Format.PAYPAL_CSV if paypal.is_header(first) else None
