"""PayPal: Orders v2, Payments v2, Payouts v1, Vault v3, Disputes v1 and Transaction Search v1, over httpx.

The reference that we keep of a payment is its order's id. Everything that we ask for carries our key twice: as
`PayPal-Request-Id`, which PayPal remembers for hours to weeks, and as the `invoice_id` of what it makes, by which it is
found again, and which PayPal takes once only.
"""

from bursar.providers.paypal.adapter import PayPal

__all__ = ["PayPal"]
