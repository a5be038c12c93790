"""Stripe: cards and wallets (PaymentIntents, SetupIntents), transfers and payouts, disputes, balance transactions.

Promises: every POST carries our key; nothing is tried twice by itself; no outcome is taken from an answer that does not
say the amount and the currency that were asked for; no card data is logged, by us or by the SDK.
"""
