"""Disputes: what customers' banks take back, and what we say against it; alerts and inquiries that may become disputes.

Promises: money that a dispute took is booked once, and once back where it is won; what a provider tells is asked for,
never believed, and in whatever order it comes no dispute is moved back; evidence that was staged is handed in before
its deadline. Status changes only through model.MACHINE.
"""
