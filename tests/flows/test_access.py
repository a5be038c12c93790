"""Who may do what: each endpoint by each role, and a customer among other customers."""

import httpx
import pytest

from bursar.infra.auth import ROLES
from tests.support.api import CORE, Api, json_of, problem_of, unique
from tests.support.methods import METHODS, provider_token
from tests.support.service import Service

NOBODY = "00000000-0000-7000-8000-000000000000"
MOVERS = {"service", "finance", "admin"}
READERS = MOVERS | {"support", "risk", "customer"}
REASON = {"reason": "x"}
RULES = "/api/v1/routing-rules"

ENDPOINTS: list[tuple[str, str, object, set[str]]] = [
    (
        "POST",
        CORE,
        {"orderId": "o", "customerId": "c-1", "amount": 1, "currency": "EUR"},
        {"service", "admin", "customer"},
    ),
    ("GET", f"{CORE}/{NOBODY}", None, READERS),
    ("GET", f"{CORE}/number/PAY-1", None, READERS),
    ("GET", f"{CORE}/transaction/sbx_1", None, READERS),
    ("GET", f"{CORE}/order/o", None, READERS),
    ("GET", f"{CORE}/customer/c-1", None, READERS),
    ("GET", f"{CORE}/status/PENDING", None, READERS),
    ("PUT", f"{CORE}/{NOBODY}/authorize", {}, MOVERS),
    ("PUT", f"{CORE}/{NOBODY}/capture", {}, MOVERS),
    ("PUT", f"{CORE}/{NOBODY}/complete", {}, MOVERS),
    ("PUT", f"{CORE}/{NOBODY}/fail", REASON, MOVERS),
    ("PUT", f"{CORE}/{NOBODY}/cancel", REASON, MOVERS | {"support", "customer"}),
    ("PATCH", f"{CORE}/{NOBODY}", {}, MOVERS | {"support"}),
    ("GET", f"{CORE}/{NOBODY}/timeline", None, READERS),
    ("GET", f"/api/v1/fraud-checks/payment/{NOBODY}", None, READERS - {"customer"}),
    ("PUT", f"/api/v1/fraud-checks/{NOBODY}/review", {"decision": "APPROVE", "notes": "x"}, {"risk", "admin"}),
    ("POST", METHODS, {"customerId": "c-1", **provider_token("t")}, {"service", "admin", "customer"}),
    ("GET", f"{METHODS}/{NOBODY}", None, READERS),
    ("GET", f"{METHODS}/customer/c-1", None, READERS),
    ("GET", f"{METHODS}/customer/c-1/active", None, READERS),
    ("GET", f"{METHODS}/customer/c-1/default", None, READERS),
    ("GET", f"{METHODS}/customer/c-1/type/CARD", None, READERS),
    ("PUT", f"{METHODS}/{NOBODY}/set-default", {}, {"service", "admin", "customer"}),
    ("PUT", f"{METHODS}/{NOBODY}/verification-status", {"verificationStatus": "FAILED"}, {"service", "risk", "admin"}),
    ("DELETE", f"{METHODS}/{NOBODY}", None, {"service", "admin", "customer"}),
    ("PATCH", f"{METHODS}/{NOBODY}", {}, {"service", "admin", "customer"}),
    ("POST", f"{METHODS}/{NOBODY}/verify", {}, {"service", "admin", "customer"}),
    ("POST", f"{METHODS}/{NOBODY}/refresh", {}, {"service", "admin", "customer", "support"}),
    ("GET", f"{METHODS}/encryption-key", None, set(ROLES)),
    ("POST", RULES, {"name": "all", "provider": "sandbox"}, {"admin"}),
    ("GET", RULES, None, {"admin", "finance", "support"}),
    ("GET", f"{RULES}/{NOBODY}", None, {"admin", "finance", "support"}),
    ("PUT", f"{RULES}/{NOBODY}", {"name": "all", "provider": "sandbox"}, {"admin"}),
    ("GET", "/api/v1/jobs/dead", None, {"admin"}),
    ("POST", f"/api/v1/jobs/{NOBODY}/retry", {}, {"admin"}),
]


class TestRoles:
    @pytest.mark.parametrize("role", sorted(ROLES))
    @pytest.mark.parametrize("method, path, body, allowed", ENDPOINTS)
    async def test_each_endpoint_by_each_role(
        self, service: Service, method: str, path: str, body: object, allowed: set[str], role: str
    ) -> None:
        caller = service.api.as_(role, customer_id="c-1" if role == "customer" else None, subject=f"{role}-1")
        answer = await caller.call(method, path, body)
        if role in allowed:
            assert answer.status_code in (200, 201, 404) or is_duplicate(answer), answer.text
        else:
            problem_of(answer, 403, "forbidden")

    @pytest.mark.parametrize("method, path, body, allowed", ENDPOINTS)
    async def test_each_endpoint_without_a_token(
        self, service: Service, method: str, path: str, body: object, allowed: set[str]
    ) -> None:
        refused = await service.api.call(method, path, body)
        problem_of(refused, 401, "unauthenticated")
        assert refused.headers["www-authenticate"].startswith("Bearer")

    @pytest.mark.parametrize("roles", [[], ["nobody"], ["Admin"], ["vendor"]])
    async def test_a_token_without_a_fitting_role(self, service: Service, roles: list[str]) -> None:
        problem_of(await service.api.as_(*roles, subject="x").get(f"{CORE}/order/o"), 403, "forbidden")

    async def test_a_customer_without_a_customer_id_sees_nothing(self, service: Service, api: Api) -> None:
        payment = await api.create_payment()
        nobody = service.api.as_("customer", subject="nobody")
        problem_of(await nobody.get(f"{CORE}/{payment['id']}"), 404, "not_found")
        problem_of(await nobody.get(f"{CORE}/order/{payment['orderId']}"), 403, "forbidden")
        problem_of(await nobody.act(payment["id"], "cancel"), 403, "forbidden")
        problem_of(await nobody.post_payment(customerId="c-1"), 403, "forbidden")


@pytest.mark.usefixtures("verified")
class TestCustomer:
    async def test_sees_its_own_only(self, service: Service, api: Api) -> None:
        order, mine_id, other_id = unique("order"), unique("customer"), unique("customer")
        mine = await api.authorized(orderId=order, customerId=mine_id)
        other = await api.authorized(orderId=order, customerId=other_id)
        customer = service.api.as_("customer", customer_id=mine_id)

        assert (await customer.show(mine["id"])) == mine
        for path in (
            other["id"],
            f"{other['id']}/timeline",
            f"number/{other['paymentNumber']}",
            f"transaction/{other['transactionId']}",
            f"customer/{other_id}",
        ):
            problem_of(await customer.get(f"{CORE}/{path}"), 404, "not_found")
        for path in (f"order/{order}", "status/AUTHORIZED", f"customer/{mine_id}"):
            listed = json_of(await customer.get(f"{CORE}/{path}"), 200)
            assert [row["id"] for row in listed["data"]] == [mine["id"]]
        assert json_of(await customer.get(f"{CORE}/{mine['id']}/timeline"), 200)["data"]

    async def test_creates_for_itself_only(self, service: Service) -> None:
        customer = service.api.as_("customer", customer_id=unique("customer"))
        problem_of(await customer.post_payment(customerId="somebody-else"), 403, "forbidden")
        payment = await customer.create_payment(customerId=customer_of(customer))
        assert payment["status"] == "PENDING"

    async def test_cancels_its_own_while_it_is_pending(self, service: Service, api: Api) -> None:
        mine_id = unique("customer")
        customer = service.api.as_("customer", customer_id=mine_id)
        pending, authorized = await api.create_payment(customerId=mine_id), await api.authorized(customerId=mine_id)
        other = await api.create_payment()

        assert json_of(await customer.act(pending["id"], "cancel"), 200)["status"] == "CANCELLED"
        refused = problem_of(await customer.act(authorized["id"], "cancel"), 409, "invalid_state_transition")
        assert (refused["state"], refused["allowed"]) == ("AUTHORIZED", [])
        problem_of(await customer.act(other["id"], "cancel"), 404, "not_found")
        assert await api.show(other["id"]) == other

    async def test_learns_nothing_by_a_stale_version(self, service: Service, api: Api) -> None:
        other = await api.create_payment()
        customer = service.api.as_("customer", customer_id=unique("customer"))
        refused = await customer.act(other["id"], "cancel", headers={"if-match": '"99"'})
        problem_of(refused, 404, "not_found")


def is_duplicate(answer: httpx.Response) -> bool:
    """Whether somebody was let in who adds what another has added before."""
    return answer.status_code == 409 and answer.json()["code"] == "payment_method_exists"


def customer_of(api: Api) -> str:
    import msgspec

    from bursar.infra.auth import _unpadded

    return str(msgspec.json.decode(_unpadded(api.bearer.split(".")[1].encode()))["customerId"])
