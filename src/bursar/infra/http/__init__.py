"""HTTP: routes are declared with FastAPI (which makes the OpenAPI document) and served by a dispatcher of our own."""
