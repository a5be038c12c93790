"""Payment methods: cards, bank accounts and wallets of customers, tokenized on entry.

Promises: a number is nowhere but in the vault, a CVC nowhere at all; a customer has one default at any moment, handed
over when it goes; nobody uses somebody else's method; a removed method cannot be used or read again by anyone. Status
and verification change only through model.MACHINE and model.VERIFICATION.
"""
