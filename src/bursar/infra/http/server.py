"""How the API is served: by uvicorn, as lean as it goes."""

from typing import Any, Final

import uvicorn

BACKLOG: Final = 2_048
KEEP_ALIVE_SECONDS: Final = 75  # longer than clients keep idle connections, so that they close first
SHUTDOWN_SECONDS: Final = 8


def server_config(asgi: Any, *, host: str = "127.0.0.1", port: int = 0) -> uvicorn.Config:
    """How the API is served. On SIGTERM the requests under way are answered first."""
    return uvicorn.Config(
        asgi,
        host=host,
        port=port,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
