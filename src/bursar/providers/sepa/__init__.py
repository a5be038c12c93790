"""SEPA credit transfers: pain.001 files written, pain.002 status reports read, TARGET2 banking days: pure. `adapter` is
the provider, on what the rails share (providers/bank).
"""
