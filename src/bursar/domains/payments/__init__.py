"""Payments: created, scored, authorized, captured, completed; or failed, cancelled, expired.

Promises: refunded <= captured <= authorized <= amount, in Python and in the database; money that a provider took once
is booked once; a provider is asked outside any transaction, in three steps (intend, ask, settle), and an outcome that
is not known stays PROCESSING until the provider has said what became of it. Status changes only through model.MACHINE.
"""
