"""Commission rules: what the platform keeps of a vendor's sale.

Promises: of all rules that match a transaction exactly one wins, whatever the order in which they are looked at, and
the answer says why each other one lost; a commission is never below zero nor above the amount; every change of a rule
is a version that stays, with author, reason and time; nobody activates what he wrote.
"""
