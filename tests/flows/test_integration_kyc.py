"""What a service says of somebody's verification, in whatever order it comes."""

from itertools import permutations
from typing import Any

import pytest

from tests.support.api import Api, json_of, unique
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")

DAYS = ("2026-01-10", "2026-01-11", "2026-01-12")


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("words", [
    ("REJECTED", "VERIFIED", "REJECTED"),
    ("REJECTED", "VERIFIED", "EXPIRED"),
    ("VERIFIED", "VERIFIED", "EXPIRED"),
    ("VERIFIED", "EXPIRED", "VERIFIED"),
])  # fmt: skip
async def test_the_last_word_counts(api: Api, service: Service, words: tuple[str, ...], order: tuple[int, ...]) -> None:
    vendor = unique("vendor")
    for number in order:
        document: dict[str, Any] = {
            "specversion": "1.0",
            "id": unique("event"),
            "source": "/platform/kyc",
            "type": "vendor.kyc.updated",
            "time": f"{DAYS[number]}T00:00:00Z",
            "data": {"vendorId": vendor, "status": words[number]},
        }
        json_of(await api.call("POST", "/api/v1/integration-events", document), 202)
        await service.run_jobs()
    shown = json_of(await api.get(f"/api/v1/kyc/VENDOR/{vendor}"), 200)
    assert (shown["status"], shown["decidedAt"]) == (words[2], f"{DAYS[2]}T00:00:00Z")
