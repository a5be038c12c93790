"""Webhooks: what providers tell us by themselves.

Promises: nothing is stored whose signature was not verified; one row and one effect for each provider's event, however
often it comes and in whatever order; an event moves nothing by what it says, it only has the provider asked, so an old
one never moves anything back. What cannot be processed yet is tried again, ever later, and given up after a number of
attempts; it delays nobody else. Status changes only through model.MACHINE.
"""
