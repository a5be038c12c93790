"""Every action in every status, over HTTP, on payments that were driven there."""

from typing import Any

import pytest

from bursar.domains.payments.model import ACTIONS, MACHINE, PUBLIC, Status
from tests.support.api import CORE, Api, json_of, problem_of, unique
from tests.support.drive import drive
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")
S = Status

PAIRS = [(status, action) for status in Status for action in ACTIONS]
RIGHT = [(status, action) for status, action in PAIRS if MACHINE.allows(status, action)]
WRONG = [(status, action) for status, action in PAIRS if not MACHINE.allows(status, action)]

LEADS_TO: dict[tuple[Status, str], tuple[int, str]] = {
    (S.PENDING, "authorize"): (200, "AUTHORIZED"),
    (S.PENDING, "fail"): (200, "FAILED"),
    (S.PENDING, "cancel"): (200, "CANCELLED"),
    (S.IN_REVIEW, "fail"): (200, "FAILED"),
    (S.IN_REVIEW, "cancel"): (200, "CANCELLED"),
    (S.REQUIRES_ACTION, "authorize"): (200, "AUTHORIZED"),
    (S.REQUIRES_ACTION, "fail"): (200, "FAILED"),
    (S.REQUIRES_ACTION, "cancel"): (200, "CANCELLED"),
    (S.AUTHORIZED, "capture"): (200, "CAPTURED"),
    (S.AUTHORIZED, "fail"): (200, "FAILED"),
    (S.AUTHORIZED, "cancel"): (200, "CANCELLED"),
    (S.CAPTURING, "capture"): (202, "PROCESSING"),
    (S.PARTIALLY_CAPTURED, "capture"): (200, "CAPTURED"),
    (S.PARTIALLY_CAPTURED, "complete"): (200, "COMPLETED"),
    (S.CAPTURED, "complete"): (200, "COMPLETED"),
}


async def traces(service: Service, payment_id: str) -> list[Any]:
    """What the service has written about a payment, its row included."""
    row = await service.fetch("select * from payments where id = $1", payment_id)
    events = await service.fetch("select type, version from events where about = $1 order by position", payment_id)
    return [dict(row[0]), [tuple(event) for event in events]]


def test_the_right_pairs_are_the_table() -> None:
    assert set(RIGHT) == set(LEADS_TO)


@pytest.mark.parametrize("status, action", RIGHT)
async def test_right_action(service: Service, api: Api, status: Status, action: str) -> None:
    payment = await drive(service, status)

    done = await api.act(payment["id"], action)

    code, after = LEADS_TO[status, action]
    assert json_of(done, code)["status"] == after
    assert done.json()["version"] > payment["version"]
    assert done.headers["etag"] == f'"{done.json()["version"]}"'


@pytest.mark.parametrize("status, action", WRONG)
async def test_wrong_action(service: Service, api: Api, status: Status, action: str) -> None:
    payment = await drive(service, status)
    before, asked = await traces(service, payment["id"]), len(service.sandbox.books.by_key)
    key = unique("key")

    refused = await api.act(payment["id"], action, key=key)
    again = await api.act(payment["id"], action, key=key)

    body = problem_of(refused, 409, "invalid_state_transition")
    assert body["state"] == PUBLIC[status] == payment["status"]
    assert body["allowed"] == MACHINE.allowed(status)
    assert action not in body["allowed"]
    assert again.content == refused.content and again.headers["idempotency-replayed"] == "true"
    assert await traces(service, payment["id"]) == before
    assert len(service.sandbox.books.by_key) == asked


@pytest.mark.parametrize("status", Status)
async def test_description_and_metadata_change_in_any_status(service: Service, api: Api, status: Status) -> None:
    payment = await drive(service, status)

    changed = json_of(await api.call("PATCH", f"{CORE}/{payment['id']}", {"metadata": {"note": "x"}}), 200)

    assert changed["metadata"] == {"note": "x"}
    assert (changed["status"], changed["version"]) == (payment["status"], payment["version"] + 1)
