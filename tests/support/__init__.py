"""What the tests share: a real PostgreSQL, the service on a real socket, callers by role, driven payments."""
