"""Returns: every code has a meaning and an outcome for us; what comes back is known by its trace number."""

from datetime import date

import pytest

from bursar.providers.ach import nacha
from bursar.providers.ach.nacha.addenda import ContestedAddenda, DishonoredAddenda, ReturnAddenda
from bursar.providers.ach.nacha.reasons import RETURNS, Category
from bursar.providers.ach.returns import Return, may_retry, returns_in
from tests.providers.ach.examples import batch, entry, file, trace


def returned(code: str, *, transaction_code: int = 26, date_of_death: str = "") -> Return:
    addenda = ReturnAddenda(code, trace(7), date_of_death, "23138010", "See branch", trace(1))
    text = nacha.write(file(batch(entry(transaction_code, addenda=(addenda,)))))
    (found,) = returns_in(nacha.read(text))
    return found


class TestTable:
    def test_has_every_assigned_code(self) -> None:
        unassigned = {48, 49, *range(54, 61), *range(63, 67), 78, 79}
        assert set(RETURNS) == {f"R{number:02}" for number in range(1, 86) if number not in unassigned}

    @pytest.mark.parametrize(
        "code, decline_code, category",
        [
            ("R01", "insufficient_funds", Category.FUNDS),
            ("R02", "account_closed", Category.ADMINISTRATIVE),
            ("R03", "account_not_found", Category.ADMINISTRATIVE),
            ("R04", "invalid_account_number", Category.ADMINISTRATIVE),
            ("R05", "unauthorized", Category.UNAUTHORIZED),
            ("R07", "authorization_revoked", Category.UNAUTHORIZED),
            ("R08", "payment_stopped", Category.CONSUMER),
            ("R09", "insufficient_funds", Category.FUNDS),
            ("R10", "unauthorized", Category.UNAUTHORIZED),
            ("R29", "unauthorized", Category.UNAUTHORIZED),
            ("R68", "return_dishonored", Category.DISHONORED),
        ],
    )
    def test_by_example(self, code: str, decline_code: str, category: Category) -> None:
        assert (RETURNS[code].decline_code, RETURNS[code].category) == (decline_code, category)

    def test_counts_as_nacha_does(self) -> None:
        """The codes behind the thresholds of 3 % (administrative) and 0.5 % (unauthorized)."""
        by_category = {category: {c for c, r in RETURNS.items() if r.category is category} for category in Category}
        assert by_category[Category.ADMINISTRATIVE] == {"R02", "R03", "R04"}
        assert by_category[Category.UNAUTHORIZED] == {"R05", "R07", "R10", "R11", "R29", "R51"}

    def test_allows_two_retries_for_want_of_funds_only(self) -> None:
        assert {code for code in RETURNS if may_retry(code, retries=0)} == {"R01", "R09"}
        assert [may_retry("R01", retries=count) for count in range(4)] == [True, True, False, False]

    def test_a_corporate_customer_has_two_days_only(self) -> None:
        assert not RETURNS["R29"].is_late and RETURNS["R10"].is_late


class TestReturnsIn:
    def test_tells_what_came_back(self) -> None:
        assert returned("R02") == Return(
            code="R02",
            original_trace_number=trace(7),
            trace_number=trace(1),
            amount=5000,
            is_credit=False,
            original_rdfi="23138010",
            sec_code="PPD",
            company_id="1234567890",
            account_number="12345678",
            name="Jane Doe",
            identification="ID-1",
            information="See branch",
        )

    def test_tells_a_credit_from_a_debit(self) -> None:
        assert returned("R02", transaction_code=21).is_credit
        assert not returned("R02", transaction_code=36).is_credit

    @pytest.mark.parametrize("told, day", [("260215", date(2026, 2, 15)), ("", None), ("000000", None)])
    def test_date_of_death(self, told: str, day: date | None) -> None:
        assert returned("R15", date_of_death=told).date_of_death == day

    def test_quarrels_between_banks_name_the_return(self) -> None:
        dishonored = DishonoredAddenda("R69", trace(9), "", "23138010", "", trace(8), "179", "01", "Late", trace(1))
        contested = ContestedAddenda(
            "R76", trace(9), "", "23138010", "182", trace(8), "183", "02", trace(7), "184", "69", "", trace(2)
        )
        text = nacha.write(file(batch(entry(26, addenda=(dishonored,)), entry(26, sequence=2, addenda=(contested,)))))
        found = returns_in(nacha.read(text))
        assert [(one.code, one.original_return_code, one.return_trace_number, one.is_plain) for one in found] == [
            ("R69", "R01", trace(8), False),
            ("R76", "R02", trace(8), False),
        ]

    def test_passes_over_what_did_not_come_back(self) -> None:
        back = ReturnAddenda("R03", trace(9), "", "23138010", "", trace(2))
        text = nacha.write(file(batch(entry(), entry(21, sequence=2, addenda=(back,)))))
        assert [one.trace_number for one in returns_in(nacha.read(text))] == [trace(2)]
