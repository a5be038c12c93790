"""Fraud checks.

Promises: every payment is scored when it is created and the check is kept; a payment is approved, sent to a person, or
declined; if scoring breaks, the payment goes to a person, never through. A check is decided once and reviewed once.
"""
