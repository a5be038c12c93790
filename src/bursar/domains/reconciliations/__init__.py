"""Reconciliation: what providers and banks say of our money, held against the ledger, line by line.

Promises: every line of a settlement file, and every movement of ours that it should have, ends in exactly one item,
whatever was killed in between; a movement is matched once, however many files tell of it; afterwards the account says
what its provider says, and each difference lies in suspense until a person who did not bring the file explains it.
"""
