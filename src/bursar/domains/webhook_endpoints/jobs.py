"""What webhooks out do without being asked: end what waits for removed endpoints, forget what is long over."""

from datetime import timedelta
from typing import Final

from bursar.domains.context import App
from bursar.domains.webhook_endpoints import store
from bursar.infra.jobs import Schedule

SWEEP_SIZE: Final = 5_000
KEPT_DAYS: Final = 30
"""How long a delivery is kept after its end; its event is kept for good."""


async def purge(app: App) -> None:
    """End deliveries to endpoints that were removed, and forget old ones; a bounded number each time."""
    now = app.clock.now()
    await store.give_up_removed(app.database, now, limit=SWEEP_SIZE)
    await store.purge(app.database, before=now - timedelta(days=KEPT_DAYS), limit=SWEEP_SIZE)


SCHEDULES: Final = (Schedule("webhook_endpoints.purge", 60, purge),)
