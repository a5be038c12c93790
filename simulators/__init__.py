"""Stateful stand-ins for the outside: payment providers, a bank, a KYC service. `python -m simulators` serves them.

Each is an HTTP server with books of its own, its own memory for idempotency keys, signed webhooks and faults by seed,
and every request and answer is checked against the provider's own OpenAPI document. Nothing here is imported by
`src/bursar`, and nothing here imports it. The interface for a new one is `kit/provider.py`.
"""
