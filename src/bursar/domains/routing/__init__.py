"""Routing: which provider serves a payment.

Promises: rules are data; the same payment and the same rules always give the same providers in the same order; a
provider that cannot take the method or the currency is never among them.
"""
