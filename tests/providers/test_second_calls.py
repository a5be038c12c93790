"""Steps of several calls: a later one that fails says nothing of what an earlier one has begun."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from bursar.providers.port import ActionRequired, Capture, Card, Instrument, MethodType, Pending, Request, Unknown
from simulators.kit.faults import Kind
from tests.providers.contract.asking import authorization, refund
from tests.providers.stripe_setting import NUMBER, Setting, by_number, by_token, code_of, opened, verification
from tests.providers.test_paypal_client import NOW, asked, said

Ask = Callable[[Instrument], Request]

EXPIRED = Instrument("ours", MethodType.CARD, card=Card(NUMBER, 12, 2020, "Ada Lovelace"))


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    async with opened() as setting:
        yield setting


class TestStripe:
    """A step that is carried out again, after a crash, meets its own beginnings."""

    async def test_a_refund_under_way_is_never_called_not_done(self, setting: Setting) -> None:
        request = refund(await setting.paid("pm_card_pendingRefund", capture=True))
        assert await setting.provider.execute(request) == Pending()
        setting.simulator.provider.faults.plan(Kind.TOO_MANY_REQUESTS, on="GET .*")
        assert isinstance(await setting.provider.execute(request), Unknown)

    @pytest.mark.parametrize("ask", [authorization, verification])
    async def test_nor_is_what_waits_for_the_customer(self, setting: Setting, ask: Ask) -> None:
        request = ask(by_token("pm_card_authenticationRequired"))
        assert isinstance(await setting.provider.execute(request), ActionRequired)
        setting.simulator.provider.faults.plan(Kind.TOO_MANY_REQUESTS, on="GET .*")
        assert isinstance(await setting.provider.execute(request), Unknown)

    async def test_a_card_that_expires_before_its_payment_is_asked_for_again(self, setting: Setting) -> None:
        """An inquiry has no security code, so it makes the card anew; and Stripe's search is a minute behind."""
        request = authorization(by_number())
        setting.fail(Kind.TIMEOUT_AFTER_EFFECT, "payment_intents")
        assert isinstance(await setting.provider.execute(request), Unknown)
        assert isinstance(await setting.provider.inquire(replace(request, instrument=EXPIRED)), Unknown)
        assert setting.simulator.provider.books.total("authorized", "USD") == request.amount

    async def test_a_card_that_had_expired_before(self, setting: Setting) -> None:
        request = authorization(EXPIRED)
        assert code_of(await setting.provider.execute(request)) == "invalid_expiry"
        setting.clock.advance(timedelta(hours=2))
        assert code_of(await setting.provider.inquire(request)) == "invalid_expiry"


class TestPayPal:
    ORDER = (
        b'{"id":"O1","status":"COMPLETED","purchase_units":[{"amount":{"currency_code":"USD","value":"50.00"},'
        b'"payments":{"authorizations":[{"id":"A1","status":"CREATED","amount":{"currency_code":"USD","value":"50.00"}'
        b"}]}}]}"
    )

    @pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "404 Not Found"])
    async def test_a_refused_capture_whose_order_is_not_shown_may_have_been_done(self, status: str) -> None:
        """Another process may have sent the same a moment ago."""
        looks = [said("200 OK", body=self.ORDER), said(status, body=b'{"name":"INVALID_REQUEST"}')]

        def serve(head: bytes) -> bytes:
            if head.startswith(b"GET"):
                return looks.pop(0)
            return said("422 Unprocessable Entity", body=b'{"name":"X","details":[{"issue":"DUPLICATE_INVOICE_ID"}]}')

        request = Capture("k", "O1", 5000, "USD", is_final=True, asked_at=NOW)
        assert isinstance(await asked(serve, lambda adapter: adapter.execute(request)), Unknown)
        assert not looks
