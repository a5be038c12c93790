"""PayPal: orders, payments, payouts, vault, disputes, webhooks and the report of transactions, as its documents say.

Test tokens and cards are in methods.py, receivers of payouts in payouts.py; `python -m simulators paypal` prints them.
"""

from simulators.paypal.service import CLIENT_ID, CLIENT_SECRET, PayPal, document, provider

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "PayPal", "document", "provider"]
