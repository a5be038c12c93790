"""Bursar: the payment service of a multi-vendor commerce platform, on PostgreSQL. Start reading at ARCHITECTURE.md."""

__version__ = "0.1.0"
