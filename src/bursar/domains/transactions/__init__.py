"""Transactions: which vendor gets what of a payment's captured money, and what the platform keeps of it.

Promises: an allocation's gross is its commission and its net, and a charge's allocations sum to its amount, in Python
and in the database; allocated never exceeds captured; what is refunded and disputed of an allocation never exceeds it;
a commission keeps the version of the rule that charged it. Status changes only through model.MACHINE.
"""
