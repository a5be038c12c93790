"""Integration: what the platform's other services tell us, by POST or by the bus, and what we do about it.

Promises: each (source, event id) has its effect once, however often and by whichever way it comes; what cannot be done
yet waits and is not forgotten; what is unknown is recorded and left alone; nothing that we do not know by name is kept.
Status changes only through model.MACHINE.
"""
