"""Reading settlement files: what they say, in minor units, and which line cannot be read."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.domains.reconciliations.formats import camt, paypal, stripe
from bursar.domains.reconciliations.formats.camt import HELD_MAX
from bursar.domains.reconciliations.formats.detect import READERS, detect
from bursar.domains.reconciliations.formats.reading import ROWS_MAX, kept
from bursar.domains.reconciliations.model import Format, Movement, Unreadable

CARD = "4242424242424242"
SAMPLES = Path("/work/shared/data/camt")

HEADER = (
    "balance_transaction_id,created_utc,available_on_utc,currency,gross,fee,net,reporting_category,"
    "source_id,charge_id,payment_intent_id"
)
CHARGE = "txn_1,2026-03-02 10:00:00,2026-03-09 00:00:00,eur,19.99,0.88,19.11,charge,ch_1,ch_1,pi_1"
STRIPE = f"""{HEADER}
{CHARGE}
txn_2,2026-03-02 11:00:00,2026-03-09 00:00:00,jpy,-500,0,-500,refund,re_1,ch_2,pi_2
txn_3,2026-03-02 12:00:00,2026-03-02 12:00:00,eur,-1000.00,0.00,-1000.00,payout,po_1,,
txn_4,2026-03-02 13:00:00,2026-03-02 13:00:00,isk,-5.00,0.00,-5.00,transfer,tr_1,,
"""

COLUMNS = (
    '"CH","Transaction ID","Invoice ID","PayPal Reference ID","PayPal Reference ID Type","Transaction Event Code",'
    '"Transaction Initiation Date","Transaction Completion Date","Transaction  Debit or Credit",'
    '"Gross Transaction Amount","Gross Transaction Currency","Fee Debit or Credit","Fee Amount","Fee Currency"'
)
TIMES = "2026/03/02 00:05:00 -0800,2026/03/02 00:05:12 -0800"
PAYPAL = f""""RH",2026/03/03 03:00:00 -0800,"A","MERCHANT1",009
"FH",01
"SH",2026/03/02 00:00:00 -0800,2026/03/02 23:59:59 -0800,"MERCHANT1",""
{COLUMNS}
"SB","5TX","key-1","AUTH1","TXN","T0006",{TIMES},"CR",1999,"USD","DR",88,"USD"
"SB","6TX","","5TX","TXN","T1107",{TIMES},"DR",500,"USD","CR",15,"USD"
"SB","7TX","","","","T0400",{TIMES},"DR",1200,"HUF","",,""
"SF","USD",1999,500,0
"SC",3
"RF","USD",1999,500,0
"RC",3
"FF",12
"""


def unreadable(form: Format, text: str | bytes) -> list[tuple[int, str]]:
    """The lines that cannot be read, and why."""
    with pytest.raises(Unreadable) as told:
        READERS[form](text.encode() if isinstance(text, str) else text)
    return [(fault.line, fault.reason) for fault in told.value.faults]


def assert_read_or_refused(form: Format, content: bytes) -> None:
    """No other exception comes out of a reader, and a refusal says why."""
    faults = None
    try:
        READERS[form](content)
    except Unreadable as error:
        faults = error.faults
    assert faults is None or all(fault.reason for fault in faults)


class TestStripe:
    def test_amounts_are_decimals_of_main_units(self) -> None:
        charge, refund, payout, transfer = stripe.read(STRIPE.encode()).rows
        assert (charge.gross, charge.fee, charge.net, charge.currency) == (1999, 88, 1911, "EUR")
        assert (charge.id, charge.line, charge.movement) == ("txn_1", 2, Movement.CHARGE)
        assert charge.references == ("pi_1", "ch_1")
        assert charge.occurred_at == datetime(2026, 3, 2, 10, tzinfo=UTC)
        assert (refund.gross, refund.movement, refund.references) == (-500, Movement.REFUND, ("re_1", "pi_2", "ch_2"))
        assert (payout.gross, payout.movement) == (-100_000, Movement.PAYOUT)
        assert (transfer.gross, transfer.movement) == (-5, Movement.ADJUSTMENT)

    @pytest.mark.parametrize(
        "line, reason",
        [
            (CHARGE.replace("19.99", "19.999"), "no whole number"),
            (CHARGE.replace("19.99", "1e3"), "no amount"),
            (CHARGE.replace("19.99", "NaN"), "no amount"),
            (CHARGE.replace("19.99", "99999999999999"), "at most"),
            (CHARGE.replace("eur", "zzz"), "no currency"),
            (CHARGE.replace("2026-03-02 10:00:00", "yesterday"), "no time"),
            (CHARGE.replace("2026-03-02 10:00:00", "0001-01-01 00:00:00"), "out of this age"),
            (CHARGE.replace("txn_1", ""), "no balance_transaction_id"),
            (CHARGE.replace("ch_1", "ch\x00", 1), "printable"),
            (CHARGE + ",more", "12 fields in place of 11"),
        ],
    )
    def test_a_line_that_cannot_be_read_is_named(self, line: str, reason: str) -> None:
        ((number, said),) = unreadable(Format.STRIPE_BALANCE_CSV, f"{HEADER}\n{CHARGE}\n{line}\n")
        assert number == 3 and reason in said

    def test_every_fault_is_told_not_the_first_alone(self) -> None:
        bad = CHARGE.replace("19.99", "?")
        assert [line for line, _ in unreadable(Format.STRIPE_BALANCE_CSV, f"{HEADER}\n{bad}\n{CHARGE}\n{bad}\n")] == [
            2,
            4,
        ]

    def test_columns_that_it_needs_are_named(self) -> None:
        ((line, reason),) = unreadable(Format.STRIPE_BALANCE_CSV, HEADER.replace(",net", "") + "\n")
        assert line == 1 and reason == "no column net"

    def test_a_file_that_breaks_off_in_a_quoted_field_is_refused(self) -> None:
        ((line, reason),) = unreadable(Format.STRIPE_BALANCE_CSV, f'{HEADER}\n{CHARGE}\ntxn_2,"2026')
        assert line == 3 and "no CSV" in reason

    def test_rows_with_one_id_have_keys_of_their_own(self) -> None:
        rows = stripe.read(f"{HEADER}\n{CHARGE}\n{CHARGE}\n".encode()).rows
        assert len({row.key for row in rows}) == 2 and {row.id for row in rows} == {"txn_1"}

    def test_what_reads_like_a_card_number_is_kept_as_a_digest(self) -> None:
        (row,) = stripe.read(f"{HEADER}\n{CHARGE.replace('txn_1', CARD).replace('pi_1', CARD)}\n".encode()).rows
        assert row.id == kept(CARD) != CARD and CARD not in row.key
        assert row.references[0] == CARD  # it is compared as it is, and stored as its digest

    def test_too_many_rows_are_refused(self) -> None:
        lines = "\n".join([CHARGE] * (ROWS_MAX + 1))
        ((line, reason),) = unreadable(Format.STRIPE_BALANCE_CSV, f"{HEADER}\n{lines}\n")
        assert line == ROWS_MAX + 2 and "more than" in reason

    @given(st.integers(-(10**12), 10**12))
    def test_every_amount_survives(self, amount: int) -> None:
        text = f"{'-' if amount < 0 else ''}{abs(amount) // 100}.{abs(amount) % 100:02}"
        (row,) = stripe.read(f"{HEADER}\n{CHARGE.replace('19.99', text)}\n".encode()).rows
        assert row.gross == amount


class TestPayPal:
    def test_amounts_are_whole_numbers_with_a_side(self) -> None:
        statement = paypal.read(PAYPAL.encode())
        charge, refund, payout = statement.rows
        assert (charge.gross, charge.fee, charge.net) == (1999, 88, 1911)
        assert (charge.movement, charge.references) == (Movement.CHARGE, ("key-1", "5TX", "AUTH1"))
        assert charge.occurred_at == datetime(2026, 3, 2, 8, 5, 12, tzinfo=UTC)
        assert (refund.gross, refund.fee, refund.net, refund.movement) == (-500, -15, -485, Movement.REFUND)
        assert (payout.gross, payout.currency, payout.movement) == (-120_000, "HUF", Movement.PAYOUT)
        assert statement.since == datetime(2026, 3, 2, 8, tzinfo=UTC)

    def test_what_was_denied_moved_nothing(self) -> None:
        columns = COLUMNS + ',"Transactional Status"'
        body = f'"SB","5TX","key-1","","","T0006",{TIMES},"CR",1999,"USD","DR",88,"USD","D"'
        (row,) = paypal.read(f'"RH",x\n{columns}\n{body}\n'.encode()).rows
        assert (row.movement, row.gross, row.net) == (Movement.FAILURE, 0, 0)

    @pytest.mark.parametrize(
        "before, after, line, reason",
        [
            ('"SC",3', '"SC",4', 9, "it says 4 body lines, 3 came"),
            ('"CR",1999,', '"XX",1999,', 5, "neither CR nor DR"),
            ('"CR",1999,', '"CR",19.99,', 5, "no amount"),
            ('"DR",88,"USD"', '"DR",88,"EUR"', 5, "another currency"),
            ('"FH",01', '"ZZ",01', 2, "no type of line"),
            ('"SF","USD",1999', '"SB","USD",1999', 8, "fields in place of"),
            ('"SC",3', '"SC"', 9, "more fields"),
            ('"Fee Amount"', '"Fee"', 4, "no column Fee Amount"),
        ],
    )
    def test_a_line_that_cannot_be_read_is_named(self, before: str, after: str, line: int, reason: str) -> None:
        assert before in PAYPAL
        told = unreadable(Format.PAYPAL_CSV, PAYPAL.replace(before, after, 1))
        assert told[0][0] == line and reason in told[0][1]

    def test_a_report_without_column_names_is_refused(self) -> None:
        ((_, reason),) = unreadable(Format.PAYPAL_CSV, '"RH",x\n"FF",1\n')
        assert "no CH line" in reason


def document(entry: str, *, version: str = "08", head: str = "") -> str:
    """A statement with one entry."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>{head}
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt><Stmt><Id>S1</Id>
<Ntry>{entry}</Ntry></Stmt></BkToCstmrStmt></Document>"""


ENTRY = """<NtryRef>7</NtryRef><Amt Ccy="EUR">12.34</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
<BookgDt><Dt>2026-03-02</Dt></BookgDt><NtryDtls><TxDtls><Refs><EndToEndId>po_1</EndToEndId></Refs>
<RmtInf><Ustrd>STRIPE payout po_2</Ustrd></RmtInf></TxDtls></NtryDtls>"""


class TestCamt:
    def test_an_entry(self) -> None:
        (row,) = camt.read(document(ENTRY).encode()).rows
        assert (row.gross, row.net, row.currency, row.movement) == (-1234, -1234, "EUR", Movement.ENTRY)
        assert row.references == ("po_1", "po_2", "7")
        assert row.occurred_at == datetime(2026, 3, 2, tzinfo=UTC)

    @pytest.mark.parametrize("account", ["DE89370400440532013000", "DE89 3704 0044 0532 0130 00"])
    def test_of_a_free_text_nothing_of_people_is_kept(self, account: str) -> None:
        text = f"Rent of Maria Muster {account} maria7@muster.example for RF18539007547034 STL-1"
        (row,) = camt.read(document(ENTRY.replace("STRIPE payout po_2", text)).encode()).rows
        assert row.references == ("po_1", "RF18539007547034", "STL-1", "7")

    @pytest.mark.parametrize("encoding", ["shift_jis", "bogus", "undefined", "zip"])
    def test_an_encoding_that_python_does_not_take_is_the_files_fault(self, encoding: str) -> None:
        text = document(ENTRY).replace("UTF-8", encoding)
        assert unreadable(Format.CAMT_053, text) == [(1, "an encoding that is not taken")]

    @pytest.mark.parametrize("beside", [True, False])
    def test_elements_without_end_are_refused(self, beside: bool) -> None:
        many = "<a/>" * HELD_MAX
        text = document(ENTRY).replace("<Id>", f"{many}<Id>") if beside else document(ENTRY + many)
        ((_, reason),) = unreadable(Format.CAMT_053, text)
        assert f"more than {HELD_MAX} elements" in reason

    def test_entries_that_were_read_take_no_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(camt, "HELD_MAX", 20)
        text = document("</Ntry><Ntry>".join([ENTRY] * 10))
        assert len(camt.read(text.encode()).rows) == 10

    def test_what_is_not_booked_is_passed_over(self) -> None:
        assert camt.read(document(ENTRY.replace("BOOK", "PDNG")).encode()).rows == ()

    @pytest.mark.parametrize(
        "text, line, reason",
        [
            (document(ENTRY, version="09"), 2, "no camt.053"),
            (document(ENTRY).replace("camt.053", "camt.054"), 2, "no camt.053"),
            (document(ENTRY, head='<!DOCTYPE a [<!ENTITY b "c">]>'), 1, "document type"),
            (document(ENTRY.replace("12.34", "12.345")), 3, "no whole number"),
            (document(ENTRY.replace("12.34", "-12.34")), 3, "below zero"),
            (document(ENTRY.replace("DBIT", "BOTH")), 3, "neither CRDT nor DBIT"),
            (document(ENTRY.replace("2026-03-02", "02.03.2026")), 3, "no time"),
            (document(ENTRY)[:-20], 5, "no XML"),
            (document(f"{'<a>' * 70}{'</a>' * 70}"), 3, "deep"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, text: str, line: int, reason: str) -> None:
        ((number, said),) = unreadable(Format.CAMT_053, text)
        assert number == line and reason in said

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
    def test_a_document_type_is_refused_in_any_encoding(self, encoding: str) -> None:
        text = document(ENTRY, head='<!DOCTYPE a [<!ENTITY b "c">]>').replace("UTF-8", encoding)
        ((_, reason),) = unreadable(Format.CAMT_053, text.encode(encoding))
        assert "document type" in reason

    @pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples of camt.053 are not on this machine")
    @pytest.mark.parametrize(
        "name, amounts",
        [
            ("camt053.v2.all-balance-types.xml", [("EUR", 885)]),
            ("camt053.v2.minimal.ultimate.xml", [("EUR", 885)]),
            ("camt053.v2.multi.statement.xml", [("EUR", 885), ("EUR", -700)]),
            ("camt053.v2.with-party-ids.xml", [("EUR", 885)]),
            ("camt053.v3.xml", [("EUR", 885)]),
            ("camt053.v8.xml", [("EUR", 885)]),
        ],
    )
    def test_the_samples(self, name: str, amounts: list[tuple[str, int]]) -> None:
        content = (SAMPLES / name).read_bytes()
        assert detect(content) is Format.CAMT_053
        statement = camt.read(content)
        assert [(row.currency, row.gross) for row in statement.rows] == amounts
        assert len({row.key for row in statement.rows}) == len(statement.rows)


class TestFaults:
    @pytest.mark.parametrize("before", ["19.99", "2026-03-02 10:00:00"])
    def test_quote_no_card_number(self, before: str) -> None:
        ((line, reason),) = unreadable(Format.STRIPE_BALANCE_CSV, STRIPE.replace(before, CARD, 1))
        assert line == 2 and "card number" in reason and CARD not in reason

    @pytest.mark.parametrize(
        "form, text",
        [
            (Format.CAMT_053, f"<{'a' * 10_000}/>"),
            (Format.PAYPAL_CSV, PAYPAL.replace('"SC",3', f'"SC{" " * 10_000}"')),
        ],
    )
    def test_are_short(self, form: Format, text: str) -> None:
        assert max(len(reason) for _, reason in unreadable(form, text)) <= 300


class TestDetect:
    @pytest.mark.parametrize(
        "text, form",
        [
            (STRIPE, Format.STRIPE_BALANCE_CSV),
            ("\ufeff" + STRIPE, Format.STRIPE_BALANCE_CSV),
            (PAYPAL, Format.PAYPAL_CSV),
            (document(ENTRY), Format.CAMT_053),
            ("date,amount\n", None),
            ("", None),
        ],
    )
    def test_by_how_a_file_begins(self, text: str, form: Format | None) -> None:
        assert detect(text.encode()) is form

    @given(st.binary(max_size=300), st.sampled_from(list(READERS)))
    def test_whatever_comes_is_read_or_refused(self, content: bytes, form: Format) -> None:
        assert_read_or_refused(form, content)

    @given(st.data())
    def test_a_file_with_one_byte_changed_is_read_or_refused(self, data: st.DataObject) -> None:
        text = data.draw(st.sampled_from([STRIPE, PAYPAL, document(ENTRY)]))
        content = bytearray(text.encode())
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        for form in READERS:
            assert_read_or_refused(form, bytes(content))
