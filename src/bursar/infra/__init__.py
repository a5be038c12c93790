"""Knows PostgreSQL, HTTP and processes; knows no domain."""
