"""Cards that come encrypted from end to end: what opens, and what never does."""

from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
from joserfc import jwe
from joserfc.jwk import ECKey

from bursar.infra import entrykeys, keyfiles
from tests.support.api import Api, fields_of, json_of, problem_of, unique
from tests.support.methods import EXP_YEAR, METHODS, VISA_NUMBER, card, new_number, post_method
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")

CLEAR = {"number": VISA_NUMBER, "expMonth": 12, "expYear": EXP_YEAR, "cvc": "123", "holderName": "Ann Onymous"}


async def public_key(api: Api) -> dict[str, Any]:
    key: dict[str, Any] = json_of(await api.get(f"{METHODS}/encryption-key"), 200)
    return key


def encrypted(key: dict[str, Any], plaintext: Any, **header: Any) -> str:
    """A compact JWE for that public key. plaintext: bytes as they are, anything else as JSON."""
    content = plaintext if isinstance(plaintext, bytes) else msgspec.json.encode(plaintext)
    protected = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": key["kid"], **header}
    algorithms = [protected["alg"], protected["enc"], *([protected["zip"]] if "zip" in protected else [])]
    return jwe.encrypt_compact(protected, content, ECKey.import_key(dict(key)), algorithms=algorithms)


async def post_jwe(api: Api, text: str, customer: str | None = None) -> httpx.Response:
    return await post_method(api, customer or unique("customer"), {"type": "CARD", "card": {"jwe": text}})


class TestKey:
    async def test_is_public_only(self, api: Api) -> None:
        key = await public_key(api)
        assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("EC", "P-256", "enc", "ECDH-ES")
        assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}

    async def test_is_renewed_with_overlap(self, private: Service) -> None:
        api, path = private.api.as_("service"), private.app.settings.keys_path / keyfiles.ENTRY_KEYS
        old = await public_key(api)

        entrykeys.renew(path, private.clock.now(), overlap=timedelta(hours=1))
        new = await public_key(api)
        assert new["kid"] != old["kid"]
        for key in (old, new):
            json_of(await post_jwe(api, encrypted(key, {**CLEAR, "number": new_number()})), 201)

        private.clock.advance(hours=2)
        entrykeys.renew(path, private.clock.now(), overlap=timedelta(hours=1))
        problem_of(await post_jwe(api, encrypted(old, CLEAR)), 422, "encryption_key_unknown")
        for key in (new, await public_key(api)):
            json_of(await post_jwe(api, encrypted(key, {**CLEAR, "number": new_number()})), 201)


class TestCard:
    @pytest.mark.parametrize("alg", ["ECDH-ES", "ECDH-ES+A256KW"])
    async def test_is_the_same_as_in_clear(self, api: Api, alg: str) -> None:
        customer = unique("customer")
        answer = await post_jwe(api, encrypted(await public_key(api), CLEAR, alg=alg), customer)
        added = json_of(answer, 201)
        assert (added["card"]["last4"], added["verificationStatus"]) == ("4242", "VERIFIED")
        assert VISA_NUMBER not in answer.text
        refused = await post_method(api, customer, card(VISA_NUMBER))
        assert problem_of(refused, 409, "payment_method_exists")["paymentMethodId"] == added["id"]

    @pytest.mark.parametrize(
        "plaintext, fields",
        [
            ({**CLEAR, "number": "4242424242424241"}, {"card.number"}),
            ({**CLEAR, "cvc": "1234"}, {"card.cvc"}),
            ({**CLEAR, "expYear": 2020}, {"card.expYear"}),
            ({**CLEAR, "number": 4242}, {"card.jwe.number"}),
            ({"number": VISA_NUMBER}, {"card.jwe.expMonth", "card.jwe.expYear"}),
            ({**CLEAR, "jwe": "a"}, {"card.jwe.jwe"}),
            ({**CLEAR, "holderName": VISA_NUMBER}, {"card.jwe.holderName"}),
            ([1], {"card.jwe"}),
            (b"\xff\xfe", {"card.jwe"}),
            (VISA_NUMBER.encode() + b" is the number", {"card.jwe"}),
            (b"", {"card.jwe"}),
        ],
    )
    async def test_in_it_is_checked_all_the_same(self, api: Api, plaintext: Any, fields: set[str]) -> None:
        refused = await post_jwe(api, encrypted(await public_key(api), plaintext))
        assert fields_of(refused) == fields
        assert VISA_NUMBER not in refused.text

    async def test_stands_alone(self, api: Api) -> None:
        text = encrypted(await public_key(api), CLEAR)
        for rest in ({"cvc": "123"}, {"holderName": "Ann"}, {"number": VISA_NUMBER, "expMonth": 12, "expYear": 2034}):
            body = {"type": "CARD", "card": {"jwe": text, **rest}}
            assert fields_of(await post_method(api, unique("customer"), body)) == {"card"}


class TestRefused:
    @pytest.mark.parametrize("part", range(5))
    async def test_when_any_part_was_tampered_with(self, api: Api, part: int) -> None:
        parts = encrypted(await public_key(api), CLEAR, alg="ECDH-ES+A256KW").split(".")
        middle = len(parts[part]) // 2
        other = "A" if parts[part][middle] != "A" else "B"
        parts[part] = parts[part][:middle] + other + parts[part][middle + 1 :]
        refused = await post_jwe(api, ".".join(parts))
        assert refused.json()["code"] in ("encrypted_card_unreadable", "encryption_key_unknown"), refused.text
        assert refused.status_code == 422

    async def test_when_it_names_another_key_or_none(self, api: Api) -> None:
        key = await public_key(api)
        other = ECKey.generate_key("P-256", auto_kid=True).as_dict(private=False)
        problem_of(await post_jwe(api, encrypted(dict(other), CLEAR)), 422, "encryption_key_unknown")
        claimed = encrypted({**other, "kid": key["kid"]}, CLEAR)
        problem_of(await post_jwe(api, claimed), 422, "encrypted_card_unreadable")
        nameless = jwe.encrypt_compact({"alg": "ECDH-ES", "enc": "A256GCM"}, b"{}", ECKey.import_key(dict(key)))
        problem_of(await post_jwe(api, nameless), 422, "encryption_key_unknown")

    @pytest.mark.parametrize("header", [{"enc": "A128GCM"}, {"alg": "ECDH-ES+A128KW"}, {"zip": "DEF"}])
    async def test_when_it_is_made_another_way(self, api: Api, header: dict[str, str]) -> None:
        text = encrypted(await public_key(api), CLEAR, **header)
        problem_of(await post_jwe(api, text), 422, "encrypted_card_unreadable")

    @pytest.mark.parametrize("text", ["....", "a.b.c.d.e", "e30....", "x", "W10.a.b.c.d", "bnVsbA.a.b.c.d"])
    async def test_when_it_is_none(self, api: Api, text: str) -> None:
        refused = await post_jwe(api, text)
        assert refused.status_code == 422 and refused.json()["code"].startswith("encrypt")

    async def test_when_it_is_too_long(self, api: Api) -> None:
        assert fields_of(await post_jwe(api, "a" * 4_097)) == {"card.jwe"}
        assert fields_of(await post_jwe(api, "not base64url!")) == {"card.jwe"}
