"""KYC: whether a customer or a vendor is who it says it is.

Promises: a subject is verified only by a service's report or a person's decision, each recorded with its time; a
verification that ran out counts no more from that moment on; an outcome that is not known stays PENDING until the
service has said what it found. Evidence is kept by reference only. Status changes only through model.MACHINE.
"""
