"""The vault: nothing that is moved, nothing that another role asks for, and nothing that was destroyed opens."""

import base64
import secrets
from pathlib import Path

import asyncpg
import msgspec
import pytest
from cryptography.exceptions import InvalidTag
from structlog.testing import capture_logs

from bursar.infra.db import Query
from bursar.infra.personal import encrypt
from bursar.infra.vault import Keys, Vault
from tests.support.api import json_of, problem_of, unique
from tests.support.database import ROLE, VAULT_ROLE
from tests.support.logs import logged
from tests.support.methods import add, card, iban_account, new_number, remove, rule
from tests.support.service import Service

WHO = Query("who", "select unnest($1::text[]) as key, current_user::text as role where $2::timestamptz is not null")


async def record_of(service: Service, method: dict[str, str]) -> str:
    rows = await service.fetch("select vault_record_id from payment_methods where id = $1", method["id"])
    return str(rows[0][0])


async def number_in(service: Service, record_id: str) -> str:
    """The card number that a record holds."""
    document = await service.app.vault.open(record_id)
    assert document is not None
    return str(msgspec.json.decode(document)["number"])


class TestRecord:
    async def test_opens_to_what_was_kept_and_no_code(self, private: Service) -> None:
        api, number = private.api.as_("service"), new_number()
        method = await add(api, unique("customer"), card(number, cvc="123", holderName="Ann"))
        document = await private.app.vault.open(await record_of(private, method))
        assert document is not None and b"cvc" not in document
        assert msgspec.json.decode(document) == {
            "number": number, "exp_month": 12, "exp_year": 2090, "holder_name": "Ann",
        }  # fmt: skip

    @pytest.mark.parametrize("moved", [("ciphertext",), ("wrapped_key",), ("ciphertext", "wrapped_key")])
    async def test_moved_to_another_row_does_not_open(self, private: Service, moved: tuple[str, ...]) -> None:
        api, customer = private.api.as_("service"), unique("customer")
        numbers = [new_number(), new_number()]
        mine, other = [await record_of(private, await add(api, customer, card(number))) for number in numbers]
        swap = ", ".join(f"{name} = o.{name}" for name in moved)

        await private.fetch(
            f"update vault.records r set {swap} from vault.records o where r.id <> o.id and r.id = any ($1::uuid[])"
            " and o.id = any ($1::uuid[])",
            [mine, other],
        )
        for record_id in (mine, other):
            with pytest.raises(InvalidTag):
                await private.app.vault.open(record_id)

        await private.fetch(
            f"update vault.records r set {swap} from vault.records o where r.id <> o.id and r.id = any ($1::uuid[])"
            " and o.id = any ($1::uuid[])",
            [mine, other],
        )
        assert [await number_in(private, record_id) for record_id in (mine, other)] == numbers

    async def test_under_another_id_does_not_open(self, private: Service) -> None:
        record_id = await record_of(private, await add(private.api.as_("service"), unique("customer")))
        await private.fetch("update vault.records set id = gen_random_uuid()")
        assert await private.app.vault.open(record_id) is None
        with pytest.raises(InvalidTag):
            await private.app.vault.open(str((await private.fetch("select id from vault.records"))[0][0]))

    async def test_of_a_forger_who_has_no_key_does_not_open(self, private: Service) -> None:
        record_id = await record_of(private, await add(private.api.as_("service"), unique("customer")))
        forged = encrypt(secrets.token_bytes(32), b'{"number": "4242424242424242"}', record_id)
        await private.fetch("update vault.records set ciphertext = $1", forged)
        with pytest.raises(InvalidTag):
            await private.app.vault.open(record_id)

    async def test_of_a_removed_method_is_gone_for_good(self, private: Service) -> None:
        api = private.api.as_("service")
        method, other = await add(api, unique("customer")), await add(api, unique("customer"))
        record_id = await record_of(private, method)
        json_of(await remove(api, method), 200)

        assert await private.app.vault.open(record_id) is None
        row = (await private.fetch("select * from vault.records where id = $1", record_id))[0]
        assert (row["wrapped_key"], row["ciphertext"]) == (None, "") and row["destroyed_at"]
        assert await private.app.vault.open(await record_of(private, other))

    async def test_that_cannot_be_opened_pays_nothing(self, private: Service) -> None:
        api, customer = private.api.as_("service"), unique("customer")
        account = await add(api, customer, iban_account())
        json_of(await rule(api, account, "VERIFIED"), 200)
        payment = await api.create_payment(customerId=customer, paymentMethodId=account["id"])
        await private.fetch("update vault.records set ciphertext = repeat('A', 80)")
        asked = len(private.sandbox.books.by_key)
        with capture_logs() as logs:
            problem_of(await api.authorize(payment["id"]), 503, "provider_unavailable")
        assert logged(logs, "payment_method") == [("payment_method.unreadable", "critical")]
        assert len(private.sandbox.books.by_key) == asked
        after = json_of(await api.authorize(payment["id"], paymentMethodId="pm_sandbox_visa"), 200)
        assert after["status"] == "AUTHORIZED"  # the payment is not stuck with it


class TestRoles:
    @pytest.mark.parametrize(
        "role, statement",
        [
            (ROLE, "select * from vault.records"),
            (ROLE, "select count(*) from vault.records"),
            (ROLE, "update vault.records set ciphertext = ''"),
            (ROLE, "delete from vault.records"),
            (ROLE, "truncate vault.records"),
            (ROLE, "insert into vault.records values (gen_random_uuid(), 'k', 1, 'c')"),
            (ROLE, "copy vault.records to stdout"),
            (ROLE, "create table vault.mine (a int)"),
            (ROLE, "create function public.mine() returns int language sql as 'select 1'"),
            (VAULT_ROLE, "select * from payments"),
            (VAULT_ROLE, "select * from payment_methods"),
            (VAULT_ROLE, "select * from personal_data"),
            (VAULT_ROLE, "select * from subject_keys"),
            (VAULT_ROLE, "select * from events"),
            (VAULT_ROLE, "select * from idempotency_keys"),
            (VAULT_ROLE, "delete from vault.records"),
            (VAULT_ROLE, "insert into vault.records values (gen_random_uuid(), 'k', 1, 'c')"),
            (VAULT_ROLE, "truncate vault.records"),
        ],
    )
    async def test_may_not(self, database_url: str, role: str, statement: str) -> None:
        connection = await asyncpg.connect(database_url, server_settings={"role": role})
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        finally:
            await connection.close()

    async def test_of_the_vault_reads_records_and_the_service_does_not_see_them(self, private: Service) -> None:
        await add(private.api.as_("service"), unique("customer"))
        connection = await asyncpg.connect(private.url, server_settings={"role": VAULT_ROLE})
        try:
            assert await connection.fetchval("select count(*) from vault.records") == 1
        finally:
            await connection.close()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await private.app.database.fetch("select * from vault.records")

    async def test_are_those_that_the_service_uses(self, private: Service) -> None:
        await add(private.api.as_("service"), unique("customer"), iban_account())
        rows = await private.app.database.fetch("select current_user")
        assert rows[0][0] == ROLE
        assert (await private.app.vault.reader.query(WHO, "x"))[0]["role"] == VAULT_ROLE


class TestFingerprint:
    def test_is_the_same_for_the_same_and_under_the_same_key_alone(self, tmp_path: Path) -> None:
        keys, number = Keys(tmp_path / "keys.json"), new_number()
        first, second = (Vault(keys, secrets.token_bytes(32), None) for _ in range(2))  # type: ignore[arg-type]
        assert first.fingerprint("card", number) == first.fingerprint("card", number)
        assert first.fingerprint("card", number) != second.fingerprint("card", number)
        assert first.fingerprint("card", number) != first.fingerprint("bank_account", number)
        assert first.fingerprint("card", number) != first.fingerprint("card", new_number())
        assert len(base64.urlsafe_b64decode(first.fingerprint("card", number) + "==")) == 16

    async def test_of_a_method_is_keyed(self, private: Service) -> None:
        number = new_number()
        method = await add(private.api.as_("service"), unique("customer"), card(number))
        key = (private.app.settings.keys_path / "fingerprint.key").read_bytes()
        keys = Keys(private.app.settings.keys_path / "vault-keys.json")
        assert method["fingerprint"] == Vault(keys, key, private.app.reader).fingerprint("card", number)
