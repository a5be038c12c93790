"""Payments driven by real requests into each inner status."""

from collections.abc import Awaitable, Callable
from typing import Any

from bursar.domains.payments.model import Status
from tests.support.api import Api, json_of
from tests.support.service import Service

REVIEW_AMOUNT = 6_000_000
DAYS_UNTIL_EXPIRED = 8
SWEEPS_MAX = 10

Driver = Callable[[Service, Api], Awaitable[str]]


async def drive(service: Service, status: Status) -> dict[str, Any]:
    """A payment in that inner status, as a list shows it."""
    api = service.api.as_("service")
    payment_id = await DRIVERS[status](service, api)
    assert await service.inner_status(payment_id) == status
    return await api.show(payment_id)


async def _pending(_: Service, api: Api) -> str:
    return str((await api.create_payment())["id"])


async def _in_review(_: Service, api: Api) -> str:
    return str((await api.create_payment(amount=REVIEW_AMOUNT))["id"])


async def _on_method(api: Api, method: str, status: int = 200) -> str:
    payment = await api.create_payment(paymentMethodId=method)
    json_of(await api.authorize(payment["id"]), status)
    return str(payment["id"])


async def _requires_action(_: Service, api: Api) -> str:
    return await _on_method(api, "pm_sandbox_requires_action")


async def _authorizing(_: Service, api: Api) -> str:
    return await _on_method(api, "pm_sandbox_timeout_after_effect", 202)


async def _authorized(_: Service, api: Api) -> str:
    return await _on_method(api, "pm_sandbox_visa")


async def _capturing(_: Service, api: Api) -> str:
    payment_id = await _on_method(api, "pm_sandbox_capture_timeout_after_effect")
    json_of(await api.capture(payment_id, 60, finalCapture=False), 202)
    return payment_id


async def _partially_captured(service: Service, api: Api) -> str:
    payment_id = await _authorized(service, api)
    json_of(await api.capture(payment_id, 60, finalCapture=False), 200)
    return payment_id


async def _captured(service: Service, api: Api) -> str:
    payment_id = await _authorized(service, api)
    json_of(await api.capture(payment_id), 200)
    return payment_id


async def _voiding(_: Service, api: Api) -> str:
    payment_id = await _on_method(api, "pm_sandbox_capture_timeout_before_effect")
    json_of(await api.act(payment_id, "cancel"), 202)
    return payment_id


async def _completed(service: Service, api: Api) -> str:
    payment_id = await _captured(service, api)
    json_of(await api.act(payment_id, "complete"), 200)
    return payment_id


async def _failed(service: Service, api: Api) -> str:
    return await _on_method(api, "pm_sandbox_declined", 402)


async def _cancelled(service: Service, api: Api) -> str:
    payment_id = await _authorized(service, api)
    json_of(await api.act(payment_id, "cancel"), 200)
    return payment_id


async def _expired(service: Service, api: Api) -> str:
    payment_id = await _authorized(service, api)
    service.clock.advance(days=DAYS_UNTIL_EXPIRED)
    for _ in range(SWEEPS_MAX):  # each takes so many at once, and other tests' payments have run out before
        await service.run_schedule("payments.expire")
        if await service.inner_status(payment_id) == Status.EXPIRED:
            break
    return payment_id


DRIVERS: dict[Status, Driver] = {
    Status.PENDING: _pending,
    Status.IN_REVIEW: _in_review,
    Status.REQUIRES_ACTION: _requires_action,
    Status.AUTHORIZING: _authorizing,
    Status.AUTHORIZED: _authorized,
    Status.CAPTURING: _capturing,
    Status.PARTIALLY_CAPTURED: _partially_captured,
    Status.CAPTURED: _captured,
    Status.VOIDING: _voiding,
    Status.COMPLETED: _completed,
    Status.FAILED: _failed,
    Status.CANCELLED: _cancelled,
    Status.EXPIRED: _expired,
}
