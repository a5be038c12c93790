"""What was logged while a test looked; background tasks of other services log, too."""

from collections.abc import Iterable, Mapping
from typing import Any


def logged(logs: Iterable[Mapping[str, Any]], by: str) -> list[tuple[str, str]]:
    """The events of one part (`paypal`, `hot`) with their levels. logs: of structlog's capture_logs."""
    return [(line["event"], line["log_level"]) for line in logs if line["event"].startswith(f"{by}.")]
