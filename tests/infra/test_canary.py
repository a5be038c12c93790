"""The canary: card numbers in every field of every request, in paths, queries and headers, in requests that succeed,
are refused and break; afterwards none of them is in any table, WAL file, log, book or figure.
"""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import msgspec
import pytest

from bursar.infra import embedded, keyfiles
from tests.infra.canary import CVC, DECLINED, NUMBERS, Document, bodies, forms, hits, hits_in_files
from tests.infra.processes import wait_until
from tests.infra.test_cli import READY_SECONDS_MAX, Serve
from tests.support.api import CORE
from tests.support.methods import EXP_YEAR, METHODS, provider_token, us_account, wallet
from tests.support.ports import free_port
from tests.support.tokens import token

SETTINGS = {"BURSAR_LOG_LEVEL": "DEBUG", "BURSAR_PROVIDER_TIMEOUT_SECONDS": "1.5"}
HEADERS = (
    "idempotency-key", "x-request-id", "if-match", "user-agent", "accept", "cookie", "prefer", "traceparent",
    "content-type", "authorization", "x-forwarded-for", "referer",
)  # fmt: skip
RULE = {"name": "all", "provider": "sandbox"}
CARD = {"number": NUMBERS[0], "expMonth": 12, "expYear": EXP_YEAR, "cvc": "123", "holderName": "Ann"}


class Canary:
    """A service of the test's own, and a caller who may do everything and sends numbers everywhere."""

    def __init__(self, served: Serve, client: httpx.AsyncClient, connection: Any) -> None:
        self.served = served
        self.client = client
        self.connection = connection
        self.statuses = Counter[int]()
        self.echoed = set[str]()
        self._asked = 0

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request; body: bytes as they are, anything else as JSON. Returns the answer's document, if any."""
        content = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        self._asked += 1
        given = {"content-type": "application/json", "idempotency-key": f"canary-{self._asked}", **headers}
        answer = await self.client.request(method, path, content=content, headers=given)
        self.statuses[answer.status_code] += 1
        if answer.status_code < 400:
            self.echoed |= hits(answer.content)
        return answer.json() if answer.content and "json" in answer.headers["content-type"] else None

    async def setting(self) -> dict[str, str]:
        """Objects for the parameters of paths."""
        payment = await self.send("POST", CORE, self.payment())
        method = await self.send("POST", METHODS, {"customerId": "c-1", **provider_token("first")})
        rule = await self.send("POST", "/api/v1/routing-rules", RULE)
        await self.send("PUT", f"{CORE}/{payment['id']}/authorize", {})
        return {
            CORE: payment["id"],
            METHODS: method["id"],
            "/api/v1/routing-rules": rule["id"],
            "/api/v1/fraud-checks": payment["fraudCheckId"],
        }

    def payment(self, **changes: Any) -> dict[str, Any]:
        return {
            "orderId": "o-1", "customerId": "c-1", "amount": 100, "currency": "EUR",
            "paymentMethodId": "pm_sandbox_visa", **changes,
        }  # fmt: skip

    def bases(self, method: str, path: str) -> list[dict[str, Any]]:
        """Bodies that an operation takes as they are."""
        if (method, path) == ("POST", CORE):
            return [self.payment()]
        if (method, path) == ("POST", METHODS):
            kinds = ({"type": "CARD", "card": CARD}, us_account("4400112233"), wallet(), provider_token())
            return [{"customerId": "c-1", **kind} for kind in kinds]
        known = {"fail": {"reason": "x"}, "cancel": {"reason": "x"}, "routing-rules": RULE}
        known |= {
            "review": {"decision": "APPROVE", "notes": "x"},
            "verification-status": {"verificationStatus": "FAILED"},
        }
        known |= {"decision": {"decision": "VERIFIED", "reason": "x"}}
        names = [part for part in path.split("/") if not part.startswith("{")]
        return [known.get(names[-1], {})]

    async def fill_every_field(self) -> None:
        """Every field of every body, one after another, with each number once."""
        there = await self.setting()
        document = Document((await self.client.get("/openapi.json")).json())
        for count, (method, path, schema) in enumerate(document.operations()):
            if schema is None or method not in ("POST", "PUT", "PATCH"):
                continue
            number = NUMBERS[count % len(NUMBERS)]
            address = self._address(path, there)
            for base in self.bases(method, path):
                for body in bodies(document, schema, base, number):
                    await self.send(method, address, body)

    def _address(self, path: str, there: dict[str, str]) -> str:
        for prefix, object_id in there.items():
            if path.startswith(prefix + "/"):
                path = path.replace("{id}", object_id)
        return path.replace("{subjectType}", "CUSTOMER").replace("{subjectId}", "c-1").replace("{id}", "0")

    async def fill_paths_and_headers(self) -> None:
        """Every parameter of every path, query strings, and headers of requests that are good but for that."""
        document = Document((await self.client.get("/openapi.json")).json())
        for number, (method, path, schema) in enumerate(document.operations()):
            for form in forms(NUMBERS[number % len(NUMBERS)]):
                address = path
                for name in [part for part in path.split("/") if part.startswith("{")]:
                    address = address.replace(name, quote(form, safe=""))
                body = None if schema is None else {}
                await self.send(method, f"{address}?cursor={quote(form)}&limit={quote(form)}&x={quote(form)}", body)
                await self.send("GET", f"/api/v1/{quote(form)}/{quote(form)}")
        known = await self.send("POST", CORE, self.payment())
        for name in HEADERS:
            for number in NUMBERS:
                for form in forms(number):
                    await self.send("POST", CORE, self.payment(), **{name: form})
                    await self.send("PATCH", f"{CORE}/{known['id']}", {"metadata": {"a": "1"}}, **{name: form})
                    await self.send("GET", f"{CORE}/order/o-1", **{name: form})

    async def pay_and_fail(self) -> None:
        """Cards where they belong: added, declined, paid with, timed out, broken."""
        for number in (*NUMBERS, DECLINED):
            length = 4 if number.startswith("37") else 3
            card = {**CARD, "number": number, "cvc": CVC[:length], "holderName": "Ann"}
            for customer in ("c-2", "c-2", "c-3"):  # the second one is a duplicate
                body = {"customerId": customer, "type": "CARD", "card": card}
                added = await self.send("POST", METHODS, body)
                if "id" in added:
                    path = f"{METHODS}/{added['id']}"
                    await self.send("POST", f"{path}/verify", {"cvc": CVC[:length]})
                    await self.send("POST", f"{path}/refresh", {})
                    await self._pay(customer, added["id"])
            text = msgspec.json.encode({"customerId": "c-4", "type": "CARD", "card": card})
            for broken in (text[:-4], text + b"}", text.replace(b":", b"="), b"\xff" + text, text + b" " * 300_000):
                await self.send("POST", METHODS, broken)
            await self.send("POST", METHODS, text, **{"content-type": "text/plain"})
            await self.send("POST", METHODS, text, authorization=f"Bearer {number}")
        for test_method in ("pm_sandbox_slow", "pm_sandbox_timeout_after_effect", "pm_sandbox_unavailable"):
            await self._pay("c-2", test_method)

    async def _pay(self, customer: str, method: str) -> None:
        payment = await self.send("POST", CORE, self.payment(customerId=customer, paymentMethodId=method))
        await self.send("PUT", f"{CORE}/{payment['id']}/authorize", {})
        await self.send("PUT", f"{CORE}/{payment['id']}/capture", {})

    async def break_inside(self) -> None:
        """A record of the vault, and a person's data, that were tampered with: 500, with a traceback in the log."""
        card = {**CARD, "number": NUMBERS[1]}
        added = await self.send("POST", METHODS, {"customerId": "c-5", "type": "CARD", "card": card})
        await self.connection.execute("update payment_methods set provider_tokens = '{}' where id = $1", added["id"])
        await self.connection.execute("update vault.records set ciphertext = repeat('A', 80)")
        await self.connection.execute("update personal_data set ciphertext = repeat('A', 80)")
        await self._pay("c-5", added["id"])
        await self.send("POST", f"{METHODS}/{added['id']}/verify", {"cvc": "123"})
        await self.send("GET", f"{METHODS}/{added['id']}")

    async def tables(self) -> dict[str, bytes]:
        """Every table of every schema of ours as `copy` writes it."""
        names = await self.connection.fetch(
            "select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
        )
        content: dict[str, bytes] = {}
        for schema, name in names:
            with tempfile.TemporaryFile() as file:
                await self.connection.copy_from_table(name, schema_name=schema, output=file)
                file.seek(0)
                content[f"{schema}.{name}"] = file.read()
        return content

    async def betrayed(self) -> dict[str, set[str]]:
        """Where numbers are found, and which."""
        await self.connection.execute("select pg_switch_wal()")
        await self.connection.execute("checkpoint")
        found = {name: hits(content) for name, content in (await self.tables()).items()}
        found["metrics"] = hits((await self.client.get("/metrics")).content)
        found["output"] = hits(self.served.log.read_bytes())
        found |= hits_in_files(self.served.data_dir.resolve())  # the books, and the keys
        found |= hits_in_files(await self.cluster())  # the WAL, what lies in tables, and PostgreSQL's own log
        return {place: numbers for place, numbers in found.items() if numbers}

    async def codes(self) -> list[str]:
        """Where security codes are found: a field of that name, or its value."""
        places = await self.tables()
        places["books"] = (self.served.data_dir / "sandbox-books.jsonl").read_bytes()
        places["output"] = self.served.log.read_bytes()
        assert places["books"] and places["output"]
        return [name for name, content in places.items() if b'"cvc"' in content or f'"{CVC}"'.encode() in content]

    async def cluster(self) -> Path:
        """The directory of PostgreSQL's data and log."""
        return Path(await self.connection.fetchval("show data_directory")).parent


@pytest.fixture
def root() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="bursar-test-"))
    directory.chmod(0o755)  # as root, PostgreSQL runs as another user
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def canary(root: Path) -> AsyncIterator[Canary]:
    port = free_port()
    served = Serve(root / "data", port, **SETTINGS)
    try:
        wait_until(served.greets, READY_SECONDS_MAX)
        key = keyfiles.token_key(served.data_dir / "keys")
        bearer = token(key, "admin", "service", "risk", "finance", subject="canary")
        headers = {"authorization": f"Bearer {bearer}"}
        url = embedded.running(served.data_dir)
        assert url is not None
        connection = await asyncpg.connect(url)
        base = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=base, timeout=120, headers=headers, trust_env=False) as client:
            yield Canary(served, client, connection)
        await connection.close()
    finally:
        served.end()


async def test_numbers_are_nowhere(canary: Canary) -> None:
    await canary.fill_every_field()
    await canary.fill_paths_and_headers()
    await canary.pay_and_fail()
    await canary.break_inside()
    await asyncio.sleep(3)  # the worker has its turn as well

    assert await canary.betrayed() == {}
    assert canary.echoed == set()
    assert {200, 201, 202, 400, 401, 402, 404, 409, 412, 413, 415, 422, 500, 503} <= set(canary.statuses), (
        canary.statuses
    )
    assert await canary.codes() == []

    await plant(canary)


async def plant(canary: Canary) -> None:
    """The search does find what is there, in each of the places."""
    await canary.connection.execute("create table planted (what text)")
    for number in (*NUMBERS, DECLINED):
        for form in forms(number):
            await canary.connection.execute("insert into planted values ($1)", form)
            assert hits(form.encode()) == {number}
    await canary.connection.execute("insert into planted values ($1)", f'["{CVC}"]')
    with canary.served.log.open("a") as log:
        log.write(NUMBERS[0] + '{"cvc": 1}')
    (canary.served.data_dir / "planted").write_text(DECLINED)
    assert await canary.codes() == ["public.planted", "output"]
    found = await canary.betrayed()
    assert found.pop("public.planted") == {*NUMBERS, DECLINED}
    assert found.pop("output") == {NUMBERS[0]}
    assert found.pop(str(canary.served.data_dir.resolve() / "planted")) == {DECLINED}
    assert any("pg_wal" in place for place in found) and any("/base/" in place for place in found)
