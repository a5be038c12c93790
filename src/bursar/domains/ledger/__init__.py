"""The double-entry ledger.

Promises: every journal sums to zero for each currency; what was posted is never changed; a balance equals the sum of
its postings; a journal's reference is unique, so a repeated posting is harmless. Debit positive, credit negative.
"""
