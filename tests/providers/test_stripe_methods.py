"""Payment methods at Stripe: verified, used again, described, forgotten."""

from collections.abc import AsyncIterator

import pytest

from bursar.providers.port import (
    ActionRequired,
    Approved,
    Description,
    Forgetting,
    Instrument,
    MethodType,
    MicroDeposits,
    Unavailable,
    Unknown,
    Verification,
    Wallet,
)
from simulators.kit.faults import Kind
from tests.providers.contract.asking import authorization, key, now
from tests.providers.stripe_setting import Setting, by_number, by_token, code_of, opened, verification, visit


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    async with opened() as setting:
        yield setting


class TestVerification:
    @pytest.mark.parametrize(
        "instrument",
        [
            by_number(),
            by_number(cvc=None),
            by_token("pm_card_visa"),
            Instrument("ours", MethodType.DIGITAL_WALLET, wallet=Wallet("APPLE_PAY", "tok_visa")),
        ],
        ids=["number", "number without code", "token", "wallet"],
    )
    async def test_gives_a_token_that_pays_again_and_again(self, setting: Setting, instrument: Instrument) -> None:
        outcome = await setting.verified(instrument)
        assert outcome.reference.startswith("pm_") and outcome.details is not None
        assert (outcome.details.brand, outcome.details.last4, outcome.details.country) == ("VISA", "4242", "US")
        assert await setting.paid(outcome.reference) != await setting.paid(outcome.reference)

    @pytest.mark.parametrize(
        "number,code",
        [
            ("4000000000000002", "generic_decline"),
            ("4000000000009995", "insufficient_funds"),
            ("4000000000009987", "lost_card"),
            ("4000000000009979", "stolen_card"),
            ("4000000000000069", "expired_card"),
            ("4000000000000127", "incorrect_cvc"),
            ("4000000000000119", "processing_error"),
            ("4242424242424241", "incorrect_number"),
        ],
    )
    async def test_tells_why_a_card_is_not_good(self, setting: Setting, number: str, code: str) -> None:
        assert code_of(await setting.provider.execute(verification(by_number(number)))) == code

    async def test_waits_for_the_customer(self, setting: Setting) -> None:
        request = verification(by_number("4000002500003155"))
        asked = await setting.provider.execute(request)
        assert isinstance(asked, ActionRequired) and asked.next_action["type"] == "REDIRECT_TO_URL"
        await visit(asked, "succeed")
        found = await setting.provider.inquire(request)
        assert isinstance(found, Approved)
        assert isinstance(await setting.provider.execute(request), Approved)

    async def test_is_declined_when_the_customer_fails(self, setting: Setting) -> None:
        request = verification(by_number("4000002500003155"))
        asked = await setting.provider.execute(request)
        assert isinstance(asked, ActionRequired)
        await visit(asked, "fail")
        assert code_of(await setting.provider.inquire(request)) == "authentication_failed"

    @pytest.mark.parametrize("step", ["payment_methods", "customers"])
    @pytest.mark.parametrize("kind", [Kind.ERROR_AFTER_EFFECT, Kind.RESET, Kind.GARBAGE])
    async def test_has_not_begun_without_a_method_and_its_holder(self, setting: Setting, step: str, kind: Kind) -> None:
        setting.fail(kind, step)
        assert isinstance(await setting.provider.execute(verification(by_number())), Unavailable)
        assert setting.asked("setup_intents") == 0

    async def test_an_inquiry_does_without_the_security_code(self, setting: Setting) -> None:
        request = verification(by_number())
        setting.fail(Kind.RESET, "setup_intents")
        assert isinstance(await setting.provider.execute(request), Unknown)
        later = Verification(request.key, by_number(cvc=None), "USD", request.asked_at)
        assert isinstance(await setting.provider.inquire(later), Approved)
        assert setting.asked("setup_intents") == 1


class TestMethods:
    async def test_are_described_until_they_are_forgotten(self, setting: Setting) -> None:
        token = (await setting.verified(by_number())).reference
        described = await setting.provider.execute(Description(key(), token, now()))
        assert isinstance(described, Approved) and described.details is not None
        assert (described.details.exp_month, described.details.exp_year) == (12, 2034)
        for _ in range(2):
            assert await setting.provider.execute(Forgetting(key(), token, now())) == Approved(token)
        assert code_of(await setting.provider.execute(Description(key(), token, now()))) == "method_revoked"

    async def test_that_never_were_are_gone(self, setting: Setting) -> None:
        assert code_of(await setting.provider.execute(Description(key(), "pm_none", now()))) == "method_revoked"
        assert code_of(await setting.provider.execute(authorization(by_token("pm_none")))) == "method_revoked"
        assert await setting.provider.execute(Forgetting(key(), "pm_none", now())) == Approved("pm_none")

    async def test_of_other_kinds_are_refused(self, setting: Setting) -> None:
        wallet = Instrument("ours", MethodType.DIGITAL_WALLET, wallet=Wallet("PAYPAL", "B-1"))
        assert code_of(await setting.provider.execute(authorization(wallet))) == "card_not_supported"
        deposits = MicroDeposits(key(), (32, 45), by_number(), now())
        assert code_of(await setting.provider.execute(deposits)) == "processing_error"
        assert setting.simulator.calls == []
