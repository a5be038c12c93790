"""The schemes of signatures: the specifications' vectors, the providers' own libraries in both directions, and whatever
headers anybody may send.
"""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import standardwebhooks
import stripe as stripe_library
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from bursar.domains.webhooks.signatures import generic, paypal, standard, stripe
from bursar.domains.webhooks.signatures.certificates import Certificates
from bursar.domains.webhooks.signatures.secrets import SecretFile
from bursar.domains.webhooks.signatures.verifier import HEADERS, SchemeVerifier
from bursar.infra.verdict import Refused, Unreadable, Verified
from tests.support.webhooks import SECRETS, STANDARD_SECRET, generic_headers, standard_headers, stripe_headers

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT = int(NOW.timestamp())
BODY = b'{"id":"evt_1","object":"event","type":"payment_intent.succeeded","created":1,"data":{"object":{}}}'
TOLERANCE = 300


def stripe_refusal(header: str, body: bytes = BODY, *secrets: str, now: float = AT) -> str | None:
    return stripe.refusal(
        {"stripe-signature": header}, body, secrets or ("secret",), now=now, tolerance_seconds=TOLERANCE
    )


def signed(secret: str = "secret", at: int = AT, body: bytes = BODY) -> str:
    return f"v1={stripe.signature(secret, str(at), body)}"


class TestStripe:
    def test_several_signatures_and_secrets(self) -> None:
        assert stripe_refusal(f"t={AT},{signed()}") is None
        assert stripe_refusal(f"t={AT},v1=00,{signed()},v0=00") is None
        assert stripe_refusal(f"t={AT},{signed('other')}", BODY, "secret", "other") is None
        assert stripe_refusal(f"t={AT},{signed('old')}", BODY, "secret", "other") is not None

    @pytest.mark.parametrize(
        "away, is_good", [(0, True), (TOLERANCE, True), (-TOLERANCE, True), (TOLERANCE + 1, False), (-301, False)]
    )
    def test_the_time_is_near_on_both_sides(self, away: int, is_good: bool) -> None:
        refusal = stripe_refusal(f"t={AT + away},{signed(at=AT + away)}")
        assert refusal is None if is_good else refusal == "the signature's time is too far from now"

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "t=",
            f"t={AT}",
            f"t={AT},v0={signed()[3:]}",
            f"{signed()}",
            f"t={AT},t={AT},{signed()}",
            f"t=-1,{signed()}",
            f"t=１,{signed()}",
            f"t={AT}," + "v1=0," * 5_000,
            f"t={AT},v1={'é' * 64}",
        ],
    )
    def test_anything_else_is_refused(self, header: str) -> None:
        assert stripe_refusal(header) is not None

    def test_a_changed_body_is_refused(self) -> None:
        for place in range(len(BODY)):
            changed = BODY[:place] + bytes([BODY[place] ^ 1]) + BODY[place + 1 :]
            assert stripe_refusal(f"t={AT},{signed()}", changed) is not None

    def test_what_stripes_library_signs_is_verified_here(self) -> None:
        theirs = stripe_library.WebhookSignature._compute_signature(f"{AT}.{BODY.decode()}", "secret")
        assert stripe_refusal(f"t={AT},v1={theirs}") is None

    def test_what_is_signed_here_stripes_library_verifies(self) -> None:
        at = int(datetime.now(UTC).timestamp())
        header = stripe_headers(BODY, at, "old", "secret")["stripe-signature"]
        event = stripe_library.Webhook.construct_event(BODY, header, "secret")
        assert event.id == "evt_1"


class TestStandard:
    def test_the_vector_of_the_specification(self) -> None:
        headers = {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }
        body, key = b'{"test": 2432232314}', standard.key_of(STANDARD_SECRET)
        assert key is not None
        made = standard.signature(key, headers["webhook-id"], headers["webhook-timestamp"], body)
        assert made == headers["webhook-signature"]
        options: dict[str, Any] = {"now": 1614265330, "tolerance_seconds": 300}
        assert standard.refusal(headers, body, [STANDARD_SECRET], **options) is None
        several = headers | {"webhook-signature": f"v1,AAAA v2,x {made} v1a,y"}
        assert standard.refusal(several, body, ["whsec_AAAA", STANDARD_SECRET], **options) is None
        for change in (
            {"webhook-id": "msg_other"},
            {"webhook-timestamp": "1614265331"},
            {"webhook-timestamp": "1614265330.0"},
            {"webhook-signature": made[3:]},
            {"webhook-signature": made[:-1]},
            {"webhook-signature": ""},
        ):
            assert standard.refusal(headers | change, body, [STANDARD_SECRET], **options) is not None
        assert standard.refusal(headers, body, ["whsec_", "whsec_é", "whsec_A"], **options) is not None

    def test_the_package_and_we_agree_in_both_directions(self) -> None:
        package = standardwebhooks.Webhook(STANDARD_SECRET)
        at = datetime.now(UTC)
        theirs = package.sign("msg_1", at, BODY.decode())
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": theirs,
        }
        secrets, now = [STANDARD_SECRET], at.timestamp()
        assert standard.refusal(headers, BODY, secrets, now=now, tolerance_seconds=300) is None
        assert package.verify(BODY, standard_headers(BODY, now, "msg_1")) == json.loads(BODY)


class TestGeneric:
    def test_hexadecimal_of_either_case(self) -> None:
        value = generic_headers(BODY)["x-signature"]
        for header, is_good in ((value, True), (value.upper().replace("SHA256", "sha256"), True), (value[7:], False)):
            refusal = generic.refusal({"x-signature": header}, BODY, [SECRETS["acme"][0]["secret"]])
            assert (refusal is None) is is_good


class TestPayPal:
    KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)

    def headers(self, webhook_id: str = "WH-1", at: datetime = NOW, **changes: str) -> dict[str, str]:
        headers = {
            "paypal-auth-algo": "SHA256withRSA",
            "paypal-cert-url": "https://api.paypal.com/v1/notifications/certs/CERT-1",
            "paypal-transmission-id": "t-1",
            "paypal-transmission-time": at.isoformat().replace("+00:00", "Z"),
        }
        text = paypal.signed_text(headers, BODY, webhook_id)
        signature = self.KEY.sign(text, padding.PKCS1v15(), hashes.SHA256())
        return {**headers, "paypal-transmission-sig": base64.b64encode(signature).decode(), **changes}

    def refusal(self, headers: dict[str, str], body: bytes = BODY, webhook_ids: tuple[str, ...] = ("WH-1",)) -> Any:
        return paypal.doubt(headers, now=NOW, tolerance_seconds=TOLERANCE) or paypal.refusal(
            headers, body, webhook_ids, key=self.KEY.public_key()
        )

    def test_what_is_signed_and_what_is_not(self) -> None:
        assert self.refusal(self.headers()) is None
        assert self.refusal(self.headers("WH-2"), webhook_ids=("WH-1", "WH-2")) is None
        assert self.refusal(self.headers("WH-2")) is not None
        assert self.refusal(self.headers(), BODY + b" ") is not None
        for name in paypal.HEADERS:
            assert self.refusal({key: value for key, value in self.headers().items() if key != name}) is not None
            if name != paypal.CERTIFICATE:  # whose key it is, is not said by the signature
                assert self.refusal(self.headers(**{name: "é"})) is not None
        assert self.refusal(self.headers(**{"paypal-auth-algo": "SHA1withRSA"})) is not None

    @pytest.mark.parametrize(
        "away, is_good",
        [
            (timedelta(seconds=TOLERANCE), True),
            (timedelta(seconds=TOLERANCE + 1), False),
            (timedelta(days=-3), True),
            (timedelta(days=-4), False),
        ],
    )
    def test_repeats_of_three_days_are_taken(self, away: timedelta, is_good: bool) -> None:
        assert (self.refusal(self.headers(at=NOW + away)) is None) is is_good


@pytest.fixture
def verifier(tmp_path: Path) -> SchemeVerifier:
    path = tmp_path / "secrets.json"
    path.write_text(json.dumps(SECRETS | {"paypal": [{"secret": "WH-1"}]}))
    return SchemeVerifier(SecretFile(path), Certificates(), tolerance_seconds=TOLERANCE)


class TestVerifier:
    async def test_each_scheme_for_its_provider_only(self, verifier: SchemeVerifier) -> None:
        good = {
            "stripe": stripe_headers(BODY, AT),
            "kyc": standard_headers(BODY, AT, "evt_1"),
            "acme": generic_headers(BODY),
        }
        for provider in ("stripe", "kyc", "acme", "paypal"):
            for signer, headers in good.items():
                verdict = await verifier.verify(provider, headers, BODY, NOW)
                assert isinstance(verdict, Verified if signer == provider else Refused), (provider, signer)

    async def test_an_expired_secret_counts_no_more_and_a_broken_file_changes_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "secrets.json"
        secrets = SecretFile(path)
        assert (secrets.of("stripe", NOW), secrets.providers()) == ([], [])
        ends = NOW.isoformat()
        path.write_text(json.dumps({"stripe": [{"secret": "old", "expires_at": ends}, {"secret": "new"}]}))
        assert secrets.of("stripe", NOW - timedelta(seconds=1)) == ["old", "new"]
        assert secrets.of("stripe", NOW) == ["new"]
        path.write_text('{"stripe": [{"secret"')
        assert secrets.of("stripe", NOW) == ["new"]
        path.write_text(json.dumps({"stripe": []}))
        assert secrets.of("stripe", NOW) == []

    @hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
    @given(
        provider=st.sampled_from([None, "stripe", "paypal", "kyc", "acme", "nobody", "é"]),
        headers=st.dictionaries(
            st.sampled_from(HEADERS),
            st.one_of(
                st.text(max_size=80),
                st.from_regex(r"t=\d{1,12},v1=[0-9a-f]{0,64}(,v1=.{0,9})?"),
                st.sampled_from(
                    [*generic_headers(BODY).values(), *stripe_headers(BODY, AT).values(), str(AT), "v1,=="]
                ),
                st.sampled_from(["SHA256withRSA", "https://api.paypal.com.evil.example/x", NOW.isoformat(), "[::1"]),
            ),
        ),
        body=st.one_of(st.binary(max_size=60), st.just(BODY), st.just(BODY[:-1])),
    )
    async def test_nothing_that_comes_breaks_it(
        self, verifier: SchemeVerifier, provider: str | None, headers: dict[str, str], body: bytes
    ) -> None:
        headers.pop("paypal-cert-url", None) if "evil" not in headers.get("paypal-cert-url", "") else None
        verdict = await verifier.verify(provider, headers, body, NOW)
        if not isinstance(verdict, Verified):
            assert isinstance(verdict, Refused | Unreadable) and verdict.reason
        else:
            assert body == BODY
