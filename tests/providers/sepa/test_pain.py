"""pain.001 files: the same bytes for the same input, true to the schema, and refused with every fault."""

import xml.etree.ElementTree as ElementTree
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.kit import ids, money
from bursar.providers.sepa.pain import (
    AMOUNT_MAX,
    NAMESPACE,
    Originator,
    SepaError,
    SepaRefused,
    Transfer,
    credit_transfer_file,
    faults,
    validate,
)
from bursar.providers.sepa.text import end_to_end_id, is_identifier, key_of, reduced

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
DAY = date(2026, 3, 2)
BURSAR = Originator("Bürsar & Söhne GmbH", "DE89 3704 0044 0532 0130 00")
KEY = "019b7966-e200-7000-8000-0000000000e1"


def transfer(**changes: Any) -> Transfer:
    good = Transfer(KEY, 12_345, "Zoë Ångström", "FR1420041010050500013M02606", "Payout STL-1")
    return msgspec.structs.replace(good, **changes)


def written(*transfers: Transfer, **changes: Any) -> bytes:
    options: dict[str, Any] = {"message_id": "MSG-1", "created_at": NOW, "execution_date": DAY, **changes}
    return credit_transfer_file(options.pop("originator", BURSAR), transfers or (transfer(),), **options)


def texts(document: bytes, name: str) -> list[str | None]:
    return [node.text for node in ElementTree.fromstring(document).iter(f"{{{NAMESPACE}}}{name}")]


def refused(*transfers: Transfer, **changes: Any) -> set[tuple[int | None, str]]:
    with pytest.raises(SepaRefused) as refusal:
        written(*transfers, **changes)
    assert all(error.reason for error in refusal.value.errors)
    return {(error.index, error.field) for error in refusal.value.errors}


class TestFile:
    def test_is_the_same_for_the_same_input(self) -> None:
        first = written(transfer(), transfer(key="k-2", amount=1))
        assert first == written(transfer(), transfer(key="k-2", amount=1))
        assert first != written(transfer(), transfer(key="k-2", amount=2))

    def test_says_how_many_and_how_much(self) -> None:
        document = written(*(transfer(key=f"k-{amount}", amount=amount) for amount in (1, 10, 100, 123_456)))
        assert texts(document, "NbOfTxs") == ["4", "4"]
        assert texts(document, "CtrlSum") == ["1235.67", "1235.67"]
        assert texts(document, "InstdAmt") == ["0.01", "0.10", "1.00", "1234.56"]
        assert {node.get("Ccy") for node in ElementTree.fromstring(document).iter(f"{{{NAMESPACE}}}InstdAmt")} == {
            "EUR"
        }

    def test_carries_what_was_passed_in(self) -> None:
        later = NOW.astimezone(timezone(timedelta(hours=2)))
        document = written(transfer(bic="BNPAFRPP"), message_id="BURSAR/2026-1", created_at=later)
        assert texts(document, "MsgId") == texts(document, "PmtInfId") == ["BURSAR/2026-1"]
        assert texts(document, "CreDtTm") == ["2026-03-02T09:30:00Z"]
        assert texts(document, "Dt") == ["2026-03-02"]
        assert texts(document, "IBAN") == ["DE89370400440532013000", "FR1420041010050500013M02606"]
        assert texts(document, "BICFI") == ["COBADEFFXXX", "BNPAFRPP"]
        assert texts(document, "Nm") == ["Bursar + Sohne GmbH"] * 2 + ["Zoe Angstrom"]
        assert texts(document, "Ustrd") == ["Payout STL-1"]

    def test_names_each_transfer_by_our_key(self) -> None:
        (identifier,) = texts(written(), "EndToEndId")
        assert identifier is not None and key_of(identifier) == KEY

    @settings(max_examples=25)
    @given(st.lists(st.integers(1, AMOUNT_MAX), min_size=1, max_size=20))
    def test_loses_no_cent(self, amounts: list[int]) -> None:
        document = written(*(transfer(key=f"k-{n}", amount=amount) for n, amount in enumerate(amounts)))
        told = [Decimal(text or "") for text in texts(document, "InstdAmt")]
        assert [int(each * 100) for each in told] == amounts
        assert [each == sum(told) for each in map(Decimal, map(str, texts(document, "CtrlSum")))] == [True, True]
        assert texts(document, "InstdAmt") == [money.display(amount, "EUR") for amount in amounts]


class TestRefusal:
    @pytest.mark.parametrize(
        "changes, field",
        [
            ({"amount": 0}, "amount"),
            ({"amount": -1}, "amount"),
            ({"amount": AMOUNT_MAX + 1}, "amount"),
            ({"currency": "USD"}, "currency"),
            ({"name": "  "}, "name"),
            ({"name": "🙂"}, "name"),
            ({"remittance": ""}, "remittance"),
            ({"iban": "FR1420041010050500013M02607"}, "iban"),
            ({"iban": "FR14"}, "iban"),
            ({"iban": ""}, "iban"),
            ({"iban": "SA0380000000608010167519"}, "iban"),
            ({"bic": "NOPE"}, "bic"),
            ({"key": "x" * 36}, "key"),
            ({"key": "a//b"}, "key"),
            ({"key": "/a"}, "key"),
            ({"key": "ä"}, "key"),
            ({"key": ""}, "key"),
        ],
    )
    def test_names_the_transfer_and_the_field(self, changes: dict[str, Any], field: str) -> None:
        assert refused(transfer(key="good"), transfer(**changes)) == {(1, field)}

    def test_names_every_fault_at_once(self) -> None:
        bad = transfer(amount=0, iban="DE00", name="")
        assert refused(bad, transfer(key="k"), transfer(key="l", bic="x")) == {
            (0, "amount"),
            (0, "iban"),
            (0, "name"),
            (2, "bic"),
        }

    def test_of_a_key_that_comes_twice(self) -> None:
        assert refused(transfer(), transfer(amount=1)) == {(1, "key")}

    @pytest.mark.parametrize(
        "changes, field",
        [
            ({"message_id": ""}, "message_id"),
            ({"message_id": "x" * 36}, "message_id"),
            ({"execution_date": date(2026, 4, 3)}, "execution_date"),
            ({"originator": Originator("", "DE89370400440532013000")}, "originator.name"),
            ({"originator": Originator("B", "DE88370400440532013000")}, "originator.iban"),
            ({"originator": Originator("B", "DE89370400440532013000", "x")}, "originator.bic"),
        ],
    )
    def test_of_the_file(self, changes: dict[str, Any], field: str) -> None:
        assert refused(**changes) == {(None, field)}

    def test_of_a_file_without_transfers(self) -> None:
        with pytest.raises(SepaRefused) as refusal:
            credit_transfer_file(BURSAR, [], message_id="M", created_at=NOW, execution_date=DAY)
        assert [error.field for error in refusal.value.errors] == ["transfers"]


class TestSchema:
    def test_takes_what_we_write(self) -> None:
        validate(written())

    @pytest.mark.parametrize(
        "right, wrong",
        [
            (b"<MsgId>MSG-1</MsgId>", b""),
            (b"<MsgId>MSG-1</MsgId>", b"<MsgId>%s</MsgId>" % (b"x" * 36)),
            (b"<NbOfTxs>1</NbOfTxs>", b"<NbOfTxs>one</NbOfTxs>"),
            (b">123.45<", b">123,45<"),
            (b'Ccy="EUR"', b""),
            (b'Ccy="EUR"', b'Ccy="eur"'),
            (b"<PmtMtd>TRF</PmtMtd>", b"<PmtMtd>CASH</PmtMtd>"),
            (b"<Dt>2026-03-02</Dt>", b"<Dt>02.03.2026</Dt>"),
            (b"<IBAN>FR14", b"<IBAN>1414"),
            (b"COBADEFFXXX", b"COBA"),
            (b"pain.001.001.09", b"pain.001.001.03"),
            (b"</Document>", b""),
            (b"<ChrgBr>SLEV</ChrgBr>", b"<Unheard>SLEV</Unheard>"),
        ],
    )
    def test_refuses_a_wrong_document(self, right: bytes, wrong: bytes) -> None:
        document = written()
        assert right in document
        with pytest.raises(SepaRefused) as refusal:
            validate(document.replace(right, wrong, 1))
        assert [(error.index, error.field) for error in refusal.value.errors] == [(None, "document")]


class TestText:
    @pytest.mark.parametrize(
        "text, expected",
        [
            ("Müller & Söhne", "Muller + Sohne"),
            ("ÅØÆß łđ", "AOAEss ld"),
            ("Παπαδόπουλος", "Papadopoulos"),
            ("Иван Петров", "Ivan Petrov"),
            ("a  b\t\nc", "a b c"),
            ("5 € <b>", "5 EUR .b."),
            ("a_b", "a-b"),
            ("x" * 80, "x" * 70),
            ("...", ""),
            ("🙂", ""),
        ],
    )
    def test_is_reduced(self, text: str, expected: str) -> None:
        assert reduced(text, length_max=70) == expected

    @given(st.text(max_size=200))
    def test_that_is_left_can_always_be_written(self, text: str) -> None:
        short = reduced(text, length_max=70)
        assert len(short) <= 70 and reduced(short, length_max=70) == short
        assert all(character.isascii() and (character.isalnum() or character in "/-?:().,'+ ") for character in short)

    @given(st.datetimes(datetime(2025, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  the bounds are naive by contract
    def test_a_uuid_becomes_an_identifier_and_back(self, now: datetime) -> None:
        key = ids.new(now)
        assert is_identifier(end_to_end_id(key)) and key_of(end_to_end_id(key)) == key


def test_faults_of_a_good_transfer_are_none() -> None:
    assert list(faults(transfer(), 0)) == []
    assert list(faults(transfer(amount=0), 3)) == [SepaError(3, "amount", f"from 1 to {AMOUNT_MAX} cents")]
