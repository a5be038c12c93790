"""KYC services: a port, and its adapter over HTTP."""
