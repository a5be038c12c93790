"""Notifications of change: the corrected data of each code are read from their fixed positions."""

import pytest

from bursar.providers.ach import nacha
from bursar.providers.ach.changes import Change, Correction, changes_in, parse
from bursar.providers.ach.nacha.addenda import ChangeAddenda, RefusedChangeAddenda
from bursar.providers.ach.nacha.codes import AccountType
from tests.providers.ach.examples import batch, entry, file, trace

ACCOUNT = "12345678901234567"


class TestParse:
    @pytest.mark.parametrize(
        "code, data, correction",
        [
            ("C01", "1918171614", Correction(account_number="1918171614")),
            ("C01", ACCOUNT, Correction(account_number=ACCOUNT)),
            ("C02", "231380104", Correction(routing_number="231380104")),
            ("C03", f"231380104   {ACCOUNT}", Correction(routing_number="231380104", account_number=ACCOUNT)),
            ("C04", "Jane Q Doe", Correction(name="Jane Q Doe")),
            ("C05", "32", Correction(account_type=AccountType.SAVINGS, transaction_code=32)),
            ("C05", "27", Correction(account_type=AccountType.CHECKING, transaction_code=27)),
            (
                "C06",
                f"{ACCOUNT}   37",
                Correction(account_number=ACCOUNT, account_type=AccountType.SAVINGS, transaction_code=37),
            ),
            (
                "C06",
                "12 34               22",
                Correction(account_number="12 34", account_type=AccountType.CHECKING, transaction_code=22),
            ),
            (
                "C07",
                f"231380104{ACCOUNT}22",
                Correction(
                    routing_number="231380104",
                    account_number=ACCOUNT,
                    account_type=AccountType.CHECKING,
                    transaction_code=22,
                ),
            ),
            ("C09", "VENDOR-2", Correction(individual_id="VENDOR-2")),
        ],
    )
    def test_by_code(self, code: str, data: str, correction: Correction) -> None:
        assert parse(code, data) == correction

    @pytest.mark.parametrize(
        "code, data",
        [
            ("C01", ""),
            ("C02", "231380105"),
            ("C02", "23138010"),
            ("C03", "231380104"),
            ("C05", "20"),
            ("C05", "47"),
            ("C06", f"{ACCOUNT}   XX"),
            ("C07", f"231380105{ACCOUNT}22"),
        ],
    )
    def test_corrects_nothing_with_unusable_data(self, code: str, data: str) -> None:
        assert parse(code, data) is None

    @pytest.mark.parametrize("code", ["C08", "C10", "C11", "C12", "C13", "C14"])
    def test_leaves_what_we_do_not_keep(self, code: str) -> None:
        assert parse(code, "SOMETHING") is None

    def test_an_international_account_is_longer(self) -> None:
        assert parse("C01", ACCOUNT * 2, is_international=True) == Correction(account_number=ACCOUNT * 2)
        assert parse("C01", ACCOUNT * 2) == Correction(account_number=ACCOUNT)


class TestChangesIn:
    def test_tells_what_is_to_be_corrected(self) -> None:
        notice = ChangeAddenda("C02", trace(7), "", "23138010", "121042882", "", trace(1))
        text = nacha.write(file(batch(entry(21, amount=0, addenda=(notice,)), sec_code="COR")))
        assert changes_in(nacha.read(text)) == [
            Change("C02", trace(7), trace(1), "23138010", "121042882", Correction(routing_number="121042882"))
        ]
        assert changes_in(nacha.read(text))[0].meaning == "Incorrect routing number"

    def test_passes_over_refusals(self) -> None:
        refusal = RefusedChangeAddenda("C65", trace(7), "", "23138010", "1", "C02", "0000001", "", trace(1))
        text = nacha.write(file(batch(entry(21, amount=0, addenda=(refusal,)), sec_code="COR")))
        assert changes_in(nacha.read(text)) == []

    def test_refuses_an_unknown_code(self) -> None:
        notice = ChangeAddenda("C99", trace(7), "", "23138010", "1", "", trace(1))
        with pytest.raises(nacha.NachaError, match="'C99' is no change code"):
            nacha.read(nacha.write(file(batch(entry(21, amount=0, addenda=(notice,)), sec_code="COR"))))
