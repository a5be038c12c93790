"""Payments by ACH, the batch network of US banks: files in the NACHA format (`nacha`), built from our instructions
(`build`), read back for returns (`returns`) and notifications of change (`changes`), on the days of the Federal
Reserve (`calendar`): all of that is pure. `adapter` is the provider, on `scheme` and
what the rails share (providers/bank).
"""
