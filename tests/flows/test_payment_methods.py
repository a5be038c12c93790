"""Payment methods are added: what may be shown of a card, an account, a wallet or a token, and what is refused."""

from typing import Any

import pytest

from tests.conftest import Serve
from tests.support.api import Api, fields_of, json_of, problem_of, unique
from tests.support.methods import (
    ACTION_NUMBER,
    DECLINED_NUMBER,
    EXP_YEAR,
    METHODS,
    VISA_NUMBER,
    add,
    card,
    events_of,
    iban_account,
    new_number,
    post_method,
    provider_token,
    remove,
    shown,
    us_account,
    wallet,
    with_check_digit,
)
from tests.support.service import Service
from tests.support.truth import verify as verify_truth

pytestmark = pytest.mark.usefixtures("verified")


class TestCard:
    async def test_is_shown_without_its_number(self, api: Api, service: Service) -> None:
        customer = unique("customer")
        answer = await post_method(api, customer, card(VISA_NUMBER, holderName="Ann Onymous"), metadata={"a": "1"})

        added = json_of(answer, 201)
        assert answer.headers["location"] == f"{METHODS}/{added['id']}" and answer.headers["etag"] == '"1"'
        assert added["card"] == {
            "brand": "VISA", "last4": "4242", "expMonth": 12, "expYear": EXP_YEAR, "bin": "424242", "country": None,
        }  # fmt: skip
        assert (added["type"], added["status"], added["verificationStatus"]) == ("CARD", "ACTIVE", "VERIFIED")
        assert added["isDefault"] is True and added["providers"] == ["sandbox"] and added["metadata"] == {"a": "1"}
        assert added["verifiedAt"] == added["createdAt"] and added["token"].startswith("tok_") and added["fingerprint"]
        told = answer.text.replace(added["token"], "").replace(added["fingerprint"], "")  # which may look like anything
        assert VISA_NUMBER not in told and "cvc" not in told.lower()
        assert await shown(api, added) == {**added, "holderName": "Ann Onymous"}
        assert await events_of(service, added) == ["created"]

    @pytest.mark.parametrize(
        "number, cvc, brand, bin_",
        [
            ("4242 4242 4242 4242", "123", "VISA", "424242"),
            (with_check_digit("5105105105105" + "10"), "123", "MASTERCARD", "510510"),
            (with_check_digit("222100000000000"), "123", "MASTERCARD", "222100"),
            (with_check_digit("37828224631000"), "1234", "AMEX", "378282"),
            (with_check_digit("601111111111111"), "123", "DISCOVER", "601111"),
            (with_check_digit("352800000000000"), "123", "JCB", "352800"),
            (with_check_digit("3600000000000"), "123", "DINERS", "360000"),
            (with_check_digit("620000000000000"), "123", "UNIONPAY", "620000"),
            (with_check_digit("675900000000000"), "123", "MAESTRO", "675900"),
            (with_check_digit("220000000000000"), "123", "MIR", "220000"),
            (with_check_digit("636297000000000"), "123", "ELO", "636297"),
        ],
    )
    async def test_of_each_brand(self, api: Api, number: str, cvc: str, brand: str, bin_: str) -> None:
        added = await add(api, unique("customer"), card(number, cvc=cvc))
        assert (added["card"]["brand"], added["card"]["bin"]) == (brand, bin_)
        assert added["card"]["last4"] == number[-4:]

    @pytest.mark.parametrize(
        "changes, field",
        [
            ({"number": "4242424242424241"}, "card.number"),  # its check digit
            ({"number": with_check_digit("9" * 15)}, "card.number"),  # in no range
            ({"number": with_check_digit("4" * 14)}, "card.number"),  # 15 digits are no Visa
            ({"number": with_check_digit("3782822463100" + "00")}, "card.number"),  # 16 digits are no American Express
            ({"number": "4242-4242-4242-4242"}, "card.number"),
            ({"number": "4242"}, "card.number"),
            ({"number": "４２４２４２４２４２４２４２４２"}, "card.number"),
            ({"number": VISA_NUMBER + "\n"}, "card.number"),
            ({"number": int(VISA_NUMBER)}, "card.number"),
            ({"expMonth": 0}, "card.expMonth"),
            ({"expMonth": 13}, "card.expMonth"),
            ({"expMonth": "12"}, "card.expMonth"),
            ({"expYear": 2020}, "card.expYear"),
            ({"expYear": 34}, "card.expYear"),
            ({"cvc": "1234"}, "card.cvc"),
            ({"cvc": "12"}, "card.cvc"),
            ({"cvc": "12a"}, "card.cvc"),
            ({"number": with_check_digit("37828224631000"), "cvc": "123"}, "card.cvc"),
            ({"holderName": ""}, "card.holderName"),
            ({"holderName": "n" * 101}, "card.holderName"),
            ({"holderName": "4242 4242 4242 4242"}, "card.holderName"),
            ({"pin": "1234"}, "card.pin"),
            ({"jwe": "a.b.c.d.e"}, "card"),
            ({"number": None}, "card"),
            ({"expYear": None}, "card"),
        ],
    )
    async def test_is_refused(self, api: Api, changes: dict[str, Any], field: str) -> None:
        customer = unique("customer")
        refused = await post_method(api, customer, card(**{"number": VISA_NUMBER, **changes}))
        assert field in fields_of(refused)
        assert VISA_NUMBER not in refused.text
        problem_of(await api.get(f"{METHODS}/customer/{customer}/default"), 404, "not_found")

    async def test_is_refused_with_every_fault_at_once(self, api: Api) -> None:
        refused = await post_method(api, unique("customer"), card("4242424242424241", expYear=2020, cvc="1234"))
        assert fields_of(refused) == {"card.number", "card.expYear", "card.cvc"}

    async def test_is_good_until_the_end_of_its_month(self, private: Service) -> None:
        api, now = private.api.as_("service"), private.clock.now()
        await add(api, unique("customer"), card(expMonth=now.month, expYear=now.year))
        month, year = (now.month - 1, now.year) if now.month > 1 else (12, now.year - 1)
        refused = await post_method(api, unique("customer"), card(expMonth=month, expYear=year))
        assert fields_of(refused) == {"card.expYear"}

    async def test_needs_no_cvc(self, api: Api) -> None:
        assert (await add(api, unique("customer"), card(cvc=None)))["verificationStatus"] == "VERIFIED"

    async def test_that_its_provider_declines_is_not_kept(self, api: Api, service: Service) -> None:
        customer, key = unique("customer"), unique("key")
        refused = await post_method(api, customer, card(DECLINED_NUMBER), key=key)
        body = problem_of(refused, 402, "payment_method_declined")
        assert body["declineCode"] == "generic_decline" and body["isRetryable"] is False and body["advice"]
        assert not await service.fetch("select from payment_methods where customer_id = $1", customer)

        again = await post_method(api, customer, card(DECLINED_NUMBER), key=key)
        assert again.content == refused.content and again.headers["idempotency-replayed"] == "true"
        problem_of(await post_method(api, customer, card(), key=key), 422, "idempotency_key_reused")

    async def test_that_asks_for_an_action_waits_for_it(self, api: Api) -> None:
        added = await add(api, unique("customer"), card(ACTION_NUMBER))
        assert added["verificationStatus"] == "REQUIRES_ACTION" and added["providers"] == []
        assert added["nextAction"]["type"] == "REDIRECT_TO_URL" and added["verifiedAt"] is None


class TestBankAccount:
    async def test_in_the_us_waits_to_be_verified(self, api: Api) -> None:
        added = await add(api, unique("customer"), us_account("000123456789", accountType="SAVINGS"))
        assert added["bankAccount"] == {"country": "US", "last4": "6789", "accountType": "SAVINGS", "bankName": None}
        assert (added["verificationStatus"], added["card"], added["providers"]) == ("PENDING", None, [])
        assert (await shown(api, added))["holderName"] == "Ann Onymous"

    async def test_by_iban_knows_its_bank(self, api: Api) -> None:
        answer = await post_method(api, unique("customer"), iban_account())
        added = json_of(answer, 201)
        assert added["bankAccount"]["country"] == "DE" and added["bankAccount"]["last4"] == "3000"
        assert added["bankAccount"]["bankName"] == "Commerzbank" and "37040044" not in answer.text

    @pytest.mark.parametrize(
        "changes, fields",
        [
            ({"routingNumber": "021000022"}, {"bankAccount.routingNumber"}),  # its check digit
            ({"routingNumber": "12345678"}, {"bankAccount.routingNumber"}),
            ({"accountNumber": "123"}, {"bankAccount.accountNumber"}),
            ({"accountNumber": "1" * 18}, {"bankAccount.accountNumber"}),
            ({"country": "DE"}, {"bankAccount.country"}),
            ({"country": "DE", "routingNumber": "021000022"}, {"bankAccount.country", "bankAccount.routingNumber"}),
            ({"country": "us"}, {"bankAccount.country"}),
            ({"accountType": "CURRENT"}, {"bankAccount.accountType"}),
            ({"holderName": "card 4242 4242 4242 4242"}, {"bankAccount.holderName"}),
            ({"iban": "DE89370400440532013000"}, {"bankAccount"}),
            ({"routingNumber": None}, {"bankAccount"}),
        ],
    )
    async def test_in_the_us_is_refused(self, api: Api, changes: dict[str, Any], fields: set[str]) -> None:
        assert fields_of(await post_method(api, unique("customer"), us_account("1234567", **changes))) == fields

    @pytest.mark.parametrize(
        "iban, country, field",
        [
            ("DE88 3704 0044 0532 0130 00", "DE", "bankAccount.iban"),  # its check digits
            ("DE89 3704 0044 0532 0130", "DE", "bankAccount.iban"),
            ("XX89 3704 0044 0532 0130 00", "DE", "bankAccount.iban"),
            ("DE89 3704 0044 0532 0130 00", "AT", "bankAccount.country"),
            ("FR14 2004 1010 0505 0001 3M02 607", "FR", "bankAccount.iban"),  # its national check digits
            ("DE89", "DE", "bankAccount.iban"),
        ],
    )
    async def test_by_iban_is_refused(self, api: Api, iban: str, country: str, field: str) -> None:
        assert field in fields_of(await post_method(api, unique("customer"), iban_account(iban, country)))


class TestWallet:
    @pytest.mark.parametrize("provider", ["PAYPAL", "APPLE_PAY", "GOOGLE_PAY"])
    async def test_shows_whose_it_is(self, api: Api, provider: str) -> None:
        answer = await post_method(api, unique("customer"), wallet("tkn-secret", provider, email="ann@example.org"))
        added = json_of(answer, 201)
        assert added["wallet"] == {"walletProvider": provider} and added["verificationStatus"] == "VERIFIED"
        assert "tkn-secret" not in answer.text and "example.org" not in answer.text
        assert (await shown(api, added))["email"] == "ann@example.org"

    @pytest.mark.parametrize(
        "changes, field",
        [
            ({"walletProvider": "WALLET"}, "wallet.walletProvider"),
            ({"token": ""}, "wallet.token"),
            ({"token": "with blank"}, "wallet.token"),
            ({"token": VISA_NUMBER}, "wallet.token"),
        ],
    )
    async def test_is_refused(self, api: Api, changes: dict[str, Any], field: str) -> None:
        assert fields_of(await post_method(api, unique("customer"), wallet(**changes))) == {field}


class TestProviderToken:
    async def test_shows_what_the_provider_tells(self, api: Api) -> None:
        answer = await post_method(api, unique("customer"), provider_token("pm_sandbox_mastercard"))
        added = json_of(answer, 201)
        assert (added["card"]["brand"], added["card"]["last4"], added["card"]["country"]) == (
            "MASTERCARD",
            "4444",
            "US",
        )
        assert (added["verificationStatus"], added["providers"]) == ("VERIFIED", ["sandbox"])
        assert "pm_sandbox_mastercard" not in answer.text

    async def test_of_an_unknown_provider_is_refused(self, api: Api) -> None:
        refused = await post_method(api, unique("customer"), provider_token(provider="nobody"))
        assert "sandbox" in problem_of(refused, 422, "provider_not_configured")["detail"]

    async def test_may_be_a_wallets_and_never_an_accounts(self, api: Api) -> None:
        added = await add(api, unique("customer"), provider_token(kind="DIGITAL_WALLET"))
        assert added["wallet"] == {"walletProvider": "SANDBOX"} and added["card"] is None
        assert fields_of(await post_method(api, unique("customer"), provider_token(kind="BANK_ACCOUNT"))) == {"body"}

    async def test_is_all_that_comes_in_where_a_provider_keeps_the_numbers(self, serve: Serve) -> None:
        async with serve(vault="provider") as service:
            api, customer = service.api.as_("service"), unique("customer")
            for raw in (card(), us_account(), iban_account()):
                problem_of(await post_method(api, customer, raw), 422, "raw_numbers_refused")
            for token in (provider_token(), wallet()):
                await add(api, customer, token)
            assert not await service.fetch("select from vault.records")
            await verify_truth(service)


class TestOneOf:
    @pytest.mark.parametrize(
        "method",
        [
            {"type": "CARD"},
            {"type": "BANK_ACCOUNT", "card": card(VISA_NUMBER)["card"]},
            {**card(VISA_NUMBER), "wallet": wallet("t")["wallet"]},
            {**card(VISA_NUMBER), "providerToken": provider_token("t")["providerToken"]},
        ],
    )
    async def test_is_needed_and_fits_the_type(self, api: Api, method: dict[str, Any]) -> None:
        assert fields_of(await post_method(api, unique("customer"), method)) == {"body"}

    @pytest.mark.parametrize(
        "rest, field",
        [
            ({"type": "CASH"}, "type"),
            ({"customerId": "a b"}, "customerId"),
            ({"customerId": "x" * 65}, "customerId"),
            ({"isDefault": True}, "isDefault"),
            ({"metadata": {"note": VISA_NUMBER}}, "metadata.note"),
            ({"metadata": {f"k{number}": "" for number in range(51)}}, "metadata"),
            ({"billingAddress": {"name": "4242 4242 4242 4242"}}, "billingAddress.name"),
        ],
    )
    async def test_is_refused_with_what_does_not_belong(self, api: Api, rest: dict[str, Any], field: str) -> None:
        assert field in fields_of(await api.call("POST", METHODS, {"customerId": "c", **card(), **rest}))


class TestDuplicates:
    @pytest.mark.parametrize(
        "method", [card(new_number()), us_account("4455667788"), iban_account(), wallet("t-1"), provider_token("t-2")]
    )
    async def test_are_refused_by_name_until_the_first_is_removed(self, api: Api, method: dict[str, Any]) -> None:
        customer = unique("customer")
        first = await add(api, customer, method)

        refused = problem_of(await post_method(api, customer, method), 409, "payment_method_exists")
        assert refused["paymentMethodId"] == first["id"]
        other = await add(api, unique("customer"), method)
        assert other["fingerprint"] == first["fingerprint"]

        json_of(await remove(api, first), 200)
        again = await add(api, customer, method)
        assert again["id"] != first["id"] and again["fingerprint"] == first["fingerprint"]

    async def test_are_known_by_the_number_alone(self, api: Api) -> None:
        customer, number = unique("customer"), new_number()
        await add(api, customer, card(number))
        blanks = " ".join(number[start : start + 4] for start in range(0, 16, 4))
        same = card(blanks, expMonth=1, expYear=EXP_YEAR + 1, holderName="Bob", cvc=None)
        problem_of(await post_method(api, customer, same), 409, "payment_method_exists")
        await add(api, customer, iban_account())
        lower = iban_account("de89370400440532013000")
        problem_of(await post_method(api, customer, lower), 409, "payment_method_exists")

    async def test_are_told_to_no_provider(self, api: Api, service: Service) -> None:
        """It would keep a copy that nobody ever has it forget."""
        customer, method = unique("customer"), card(new_number())
        await add(api, customer, method)
        asked = len(service.sandbox.books.by_key)
        problem_of(await post_method(api, customer, method), 409, "payment_method_exists")
        assert len(service.sandbox.books.by_key) == asked


class TestLimit:
    async def test_of_methods_at_once(self, serve: Serve) -> None:
        async with serve(payment_methods_max=2) as service:
            api, customer = service.api.as_("service"), unique("customer")
            first, _ = await add(api, customer), await add(api, customer)
            problem_of(await post_method(api, customer), 409, "too_many_payment_methods")
            json_of(await remove(api, first), 200)
            await add(api, customer)
            await add(api, unique("customer"))
