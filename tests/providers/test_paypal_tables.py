"""PayPal's amounts and the table of its reasons."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.kit.money import EXPONENTS
from bursar.providers.declines import DECLINES
from bursar.providers.paypal import amounts, errors
from bursar.providers.paypal.client import Refused
from bursar.providers.paypal.documents import Amount, Detail, Fault
from bursar.providers.port import Declined, Unknown
from simulators.kit.openapi import DATA

FOLDER = DATA / "paypal"
needs_documents = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER} is absent")


class TestAmounts:
    @pytest.mark.parametrize(
        "amount,currency,written",
        [(1234, "USD", "12.34"), (5, "EUR", "0.05"), (500, "JPY", "500"), (120_000, "HUF", "1200"), (300, "TWD", "3")],
    )
    def test_are_written_in_paypals_exponents(self, amount: int, currency: str, written: str) -> None:
        assert amounts.write(amount, currency) == written

    @pytest.mark.parametrize("amount,currency", [(150, "HUF"), (99, "TWD"), (100, "KWD"), (100, "XAU")])
    def test_refuse_what_paypal_has_no_digits_for(self, amount: int, currency: str) -> None:
        with pytest.raises(amounts.Inexpressible):
            amounts.write(amount, currency)

    @given(whole=st.integers(0, 10**9), currency=st.sampled_from(sorted(amounts.CURRENCIES)))
    def test_are_read_as_they_were_written(self, whole: int, currency: str) -> None:
        amount = whole * 10 ** (EXPONENTS[currency] - amounts.exponent(currency))
        assert amounts.read(amounts.write(amount, currency), currency) == amount

    @pytest.mark.parametrize("value", ["", "ten", "NaN", "Infinity", "1.234"])
    def test_read_nothing_that_is_no_amount(self, value: str) -> None:
        assert amounts.read(value, "USD") is None

    def test_are_the_same_in_value_and_currency_only(self) -> None:
        assert amounts.is_same(Amount("USD", "12.3"), 1230, "USD")
        assert not amounts.is_same(Amount("USD", "12.31"), 1230, "USD")
        assert not amounts.is_same(Amount("EUR", "12.30"), 1230, "USD")
        assert not amounts.is_same(None, 1230, "USD")


def refusal(status: int, issue: str) -> Refused:
    return Refused(status, Fault("UNPROCESSABLE_ENTITY", details=(Detail(issue),)))


class TestReasons:
    def test_lead_to_codes_that_exist(self) -> None:
        assert set(errors.CODES.values()) <= DECLINES.keys()

    @pytest.mark.parametrize(
        "issue,code",
        [
            ("INSTRUMENT_DECLINED", "generic_decline"),
            ("PAYER_ACTION_REQUIRED", "payer_action_required"),
            ("PAYER_CANNOT_PAY", "payer_cannot_pay"),
            ("TRANSACTION_REFUSED", "do_not_honor"),
            ("AUTHORIZATION_VOIDED", "already_voided"),
            ("AUTHORIZATION_ALREADY_CAPTURED", "already_captured"),
            ("MAX_CAPTURE_AMOUNT_EXCEEDED", "amount_not_capturable"),
            ("CAPTURE_FULLY_REFUNDED", "already_refunded"),
            ("REFUND_AMOUNT_EXCEEDED", "amount_not_refundable"),
            ("AN_ISSUE_OF_TOMORROW", "generic_decline"),
        ],
    )
    def test_of_a_judged_request(self, issue: str, code: str) -> None:
        outcome = errors.outcome_of(refusal(422, issue))
        assert isinstance(outcome, Declined) and outcome.decline_code == code and issue in outcome.message

    def test_of_a_request_that_was_wrong(self) -> None:
        outcome = errors.outcome_of(refusal(400, "MISSING_REQUIRED_PARAMETER"))
        assert isinstance(outcome, Declined) and outcome.decline_code == "processing_error"

    @pytest.mark.parametrize("issue", sorted(errors.UNSURE))
    def test_that_speak_of_an_earlier_call_decide_nothing(self, issue: str) -> None:
        assert isinstance(errors.outcome_of(refusal(422, issue)), Unknown)

    @pytest.mark.parametrize(
        "code,ours", [("5120", "insufficient_funds"), ("9500", "fraudulent"), ("????", "do_not_honor")]
    )
    def test_of_the_cards_bank(self, code: str, ours: str) -> None:
        assert errors.declined_by_bank(code, "do_not_honor").decline_code == ours

    @needs_documents
    def test_are_paypals_own_words(self) -> None:
        """Those of Orders and Payments; the names of Payouts and of Vault's refusals are in no enumeration."""
        known = {"INSUFFICIENT_FUNDS", "TOKEN_NOT_FOUND"}
        for name in ("checkout_orders_v2", "payments_payment_v2"):
            known |= words(json.loads((FOLDER / f"{name}.json").read_text()))
        unknown = {issue for issue in errors.CODES if issue not in known and not issue.startswith("RECEIV")}
        assert unknown == set()


def words(document: dict[str, Any]) -> set[str]:
    """Every value of an enumeration in the document."""
    lists = re.findall(r'"enum": \[([^\]]*)\]', json.dumps(document))
    return {word for each in lists for word in re.findall(r'"([A-Z0-9_]+)"', each)}
