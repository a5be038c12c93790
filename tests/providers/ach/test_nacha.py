"""Reading and writing: what goes in comes out, and what is broken is refused where it is broken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.providers.ach import nacha
from bursar.providers.ach.nacha.addenda import (
    ChangeAddenda,
    ContestedAddenda,
    DishonoredAddenda,
    IatChangeAddenda,
    IatRemittance,
    IatReturnAddenda,
    PaymentAddenda,
    RefusedChangeAddenda,
    ReturnAddenda,
    TerminalAddenda,
)
from bursar.providers.ach.nacha.model import AdvEntry, File
from tests.providers.ach.examples import ODFI, RDFI, batch, entry, file, international, trace

TERMINAL = TerminalAddenda("", "", "200509", "123456", "1224", "", "321 East Market Street", "ANYTOWN", "VA", trace(1))
NOTE = PaymentAddenda("Thank you", 1, 1)
BACK = ReturnAddenda("R01", trace(9), "", "23138010", "", trace(1))
DISHONORED = DishonoredAddenda("R68", trace(9), "", "23138010", "", trace(8), "179", "01", "Untimely", trace(1))
CONTESTED = ContestedAddenda(
    "R73", trace(9), "260701", "23138010", "182", trace(8), "183", "01", trace(7), "184", "68", "", trace(1)
)
IAT_BACK = IatReturnAddenda("R80", trace(9), "", "23138010", 100_000, "No such bank", trace(1))
NOTICE = ChangeAddenda("C01", trace(9), "", "23138010", "1918171614", "", trace(1))
REFUSED_NOTICE = RefusedChangeAddenda("C65", trace(9), "", "23138010", "19", "C01", "0000009", "", trace(1))
ADVICE = AdvEntry(81, RDFI, "744-5678-99", 123_456_789_012, "121042882", "11131", "", "Name", "", "01100001", 50, 1)

WHOLE = {
    "one entry": file(batch(entry())),
    "addenda": file(batch(entry(addenda=(NOTE,)), entry(27, sequence=2))),
    "terminal": file(batch(entry(27, addenda=(TERMINAL,)), sec_code="MTE")),
    "return": file(batch(entry(26, addenda=(BACK,)))),
    "dishonored": file(batch(entry(26, addenda=(DISHONORED,)))),
    "contested": file(batch(entry(26, addenda=(CONTESTED,)))),
    "change": file(batch(entry(21, amount=0, addenda=(NOTICE,)), sec_code="COR")),
    "refused change": file(batch(entry(21, amount=0, addenda=(REFUSED_NOTICE,)), sec_code="COR")),
    "advice": file(batch(ADVICE, sec_code="ADV", service_class=280)),
    "international": international(),
    "international, all addenda": international(remittances=0, correspondents=5),
    "international return": international(IAT_BACK, code=21),
}


def refused(text: str | bytes) -> nacha.NachaError:
    with pytest.raises(nacha.NachaError) as caught:
        nacha.read(text)
    return caught.value


def changed(text: str, line: int, at: int, piece: str) -> str:
    """Put `piece` at the 1-based column `at` of a line."""
    lines = text.split("\n")
    lines[line - 1] = lines[line - 1][: at - 1] + piece + lines[line - 1][at - 1 + len(piece) :]
    return "\n".join(lines)


ONE = nacha.write(file(batch(entry())))
"""Lines: 1 file header, 2 batch header, 3 entry, 4 batch control, 5 file control, 6 to 10 filler."""
NOTED = nacha.write(file(batch(entry(addenda=(NOTE,)), entry(27, sequence=2))))


class TestRoundTrip:
    @pytest.mark.parametrize("name", WHOLE)
    def test_reads_what_it_wrote(self, name: str) -> None:
        text = nacha.write(WHOLE[name])
        reading = nacha.examine(text)
        assert not reading.problems and not reading.remarks
        assert reading.file == WHOLE[name]
        assert nacha.write(nacha.read(text)) == text

    @pytest.mark.parametrize("name", WHOLE)
    @given(data=st.data())
    def test_takes_no_character_for_another(self, name: str, data: st.DataObject) -> None:
        """Whatever is put anywhere is refused, or is still there when the file is written again."""
        text = nacha.write(WHOLE[name])
        at = data.draw(st.integers(0, len(text) - 2).filter(lambda index: text[index] != "\n"))
        broken = text[:at] + data.draw(st.characters(min_codepoint=32, max_codepoint=126)) + text[at + 1 :]
        reading = nacha.examine(broken)
        assert reading.problems or (reading.file and nacha.write(reading.file) == broken)

    @given(st.text(max_size=300) | st.binary(max_size=300))
    def test_refuses_noise(self, noise: str | bytes) -> None:
        assert refused(noise).line >= 1

    @pytest.mark.parametrize("name", WHOLE)
    def test_refuses_every_file_that_was_cut(self, name: str) -> None:
        """At the end of a line: records are missing. Within one: the control does not agree, or no longer reads."""
        lines = nacha.write(WHOLE[name]).splitlines()
        whole = next(index for index, line in enumerate(lines) if line[0] == "9") + 1
        for count in range(whole):
            assert refused("\n".join(lines[:count])).line <= max(count, 1)


class TestFiller:
    @pytest.mark.parametrize("entries, lines", [(1, 10), (5, 10), (6, 10), (7, 20), (16, 20), (17, 30), (116, 120)])
    def test_fills_blocks_of_ten(self, entries: int, lines: int) -> None:
        text = nacha.write(file(batch(*(entry(sequence=number) for number in range(1, entries + 1)))))
        written = text.splitlines()
        assert len(written) == lines and {len(line) for line in written} == {94} and text.endswith("\n")
        assert written[entries + 4 :] == ["9" * 94] * (lines - entries - 4)
        assert int(written[entries + 3][7:13]) * 10 == lines

    def test_may_be_missing_altogether(self) -> None:
        reading = nacha.examine("\n".join(ONE.splitlines()[:5]))
        assert reading.file == nacha.read(ONE)
        assert [remark.reason for remark in reading.remarks] == ["the last block of ten is not filled"]

    @pytest.mark.parametrize("kept", [6, 9])
    def test_may_not_be_missing_in_part(self, kept: int) -> None:
        assert "do not fill" in refused("\n".join(ONE.splitlines()[:kept])).reason

    def test_may_not_be_more_than_needed(self) -> None:
        more = changed(ONE, 5, 8, "000002") + ("9" * 94 + "\n") * 10
        assert "do not fill" in refused(more).reason

    def test_is_followed_by_nothing(self) -> None:
        assert refused(ONE + ONE).line == 11


class TestLeniency:
    """What is forgiven gives the same file as the text by the rules, with a remark."""

    @pytest.mark.parametrize(
        "text, remarks",
        [
            (ONE.replace("\n", "\r\n"), 0),
            (ONE.rstrip("\n"), 0),
            ("\n".join(line.rstrip(" ") for line in ONE.splitlines()), 2),
            (ONE.replace("\n", ""), 1),
            (ONE + "\n  \n", 2),
        ],
    )
    def test_same_file(self, text: str, remarks: int) -> None:
        reading = nacha.examine(text)
        assert reading.file == nacha.read(ONE) and len(reading.remarks) == remarks
        assert nacha.examine(text.encode()) == reading

    @pytest.mark.parametrize(
        "line, at, piece, field",
        [
            (2, 70, "260732", "effective_date"),
            (4, 45, " " * 10, "company_id"),
            (4, 74, "X", "reserved"),
            (5, 94, "X", "reserved"),
        ],
    )
    def test_remarks(self, line: int, at: int, piece: str, field: str) -> None:
        text = changed(ONE, line, at, piece)
        reading = nacha.examine(text)
        assert [(one.line, one.field) for one in reading.remarks] == [(line, field)]
        assert reading.file is not None and nacha.write(reading.file) == text

    def test_remarks_on_a_date_of_death_where_nobody_died(self) -> None:
        back = ReturnAddenda("R01", trace(9), "260101", "23138010", "", trace(1))
        reading = nacha.examine(nacha.write(file(batch(entry(26, addenda=(back,))))))
        assert reading.file is not None and [one.field for one in reading.remarks] == ["date_of_death"]

    def test_remarks_on_returns_that_carry_forward_codes_or_other_traces(self) -> None:
        back = ReturnAddenda("R01", trace(9), "", "23138010", "", trace(2))
        reading = nacha.examine(nacha.write(file(batch(entry(27, addenda=(back,))))))
        assert reading.file is not None
        assert [(one.line, one.field) for one in reading.remarks] == [(3, "transaction_code"), (4, "trace_number")]

    def test_a_digit_is_no_blank(self) -> None:
        error = refused(ONE.replace("0000001\n", "000000\n"))
        assert (error.line, error.field, error.reason) == (2, "batch_number", "'000000 ' is not numeric")

    def test_an_empty_line_between_records_is_refused(self) -> None:
        assert refused(ONE.replace("\n", "\n\n", 1)).line == 2


class TestRefusals:
    @pytest.mark.parametrize(
        "line, at, piece, field, reason",
        [
            (1, 2, "02", "priority_code", "'02' has to be '01'"),
            (1, 5, "231380105", "immediate_destination", "not a blank and a routing number"),
            (1, 15, "ABC", "immediate_origin", "neither a blank and nine digits"),
            (1, 24, "261332", "creation_date", "no date"),
            (1, 30, "2460", "creation_time", "no time"),
            (1, 34, "a", "file_id_modifier", "none of A to Z"),
            (1, 35, "095", "record_size", "has to be '094'"),
            (2, 2, "300", "service_class", "none of 200, 220, 225 and 280"),
            (2, 2, "225", "service_class", "the control says 200, the records say 225"),
            (2, 5, " " * 16, "company_name", "mandatory"),
            (2, 41, "X", "company_id", "the control says 1234567890, the records say X234567890"),
            (2, 51, "PPX", "sec_code", "no standard entry class"),
            (2, 54, " " * 10, "entry_description", "mandatory"),
            (2, 79, "7", "originator_status", "none of 0, 1 and 2"),
            (2, 80, "12104289", "odfi_routing", "the control says 12104288"),
            (2, 94, "2", "batch_number", "the control says 1, the records say 2"),
            (3, 1, "2", "record", "'2' is no record type"),
            (3, 2, "20", "transaction_code", "20 is no transaction code"),
            (3, 2, "21", "transaction_code", "that of a return"),
            (3, 2, "23", "amount", "carries no amount"),
            (3, 12, "5", "routing_number", "check digit"),
            (3, 30, "0000000000", "amount", "needs an amount"),
            (3, 30, "      5000", "amount", "not numeric"),
            (3, 79, "1", "addenda_indicator", "1 beside 0 addenda"),
            (3, 80, "23138010", "trace_number", "does not begin with 12104288"),
            (4, 5, "000002", "entry_addenda_count", "the control says 2, the records say 1"),
            (4, 11, "1", "entry_hash", "the records say 23138010"),
            (4, 21, "1", "total_debit", "the records say 0"),
            (4, 44, "1", "total_credit", "the control says 5001, the records say 5000"),
            (5, 2, "000002", "batch_count", "the control says 2, the records say 1"),
            (5, 14, "1", "entry_addenda_count", "the records say 1"),
            (5, 22, "1", "entry_hash", "the records say 23138010"),
            (5, 43, "1", "total_debit", "the control says 1, the records say 0"),
            (5, 55, "1", "total_credit", "the control says 5001, the records say 5000"),
            (5, 8, "000002", "block_count", "the control says 2, the records say 1"),
        ],
    )
    def test_names_line_field_and_reason(self, line: int, at: int, piece: str, field: str, reason: str) -> None:
        findings = refused(changed(ONE, line, at, piece)).findings
        found = [finding for finding in findings if finding.field == field and reason in finding.reason]
        # a header's fault shows where the control contradicts it
        assert found, findings
        assert found[0].line == (4 if reason.startswith("the control says") and line == 2 else line)

    @pytest.mark.parametrize(
        "line, at, piece, field, reason",
        [
            (4, 2, "06", "type_code", "'06' is no addenda type"),
            (4, 87, "2", "sequence", "2 where 1 follows"),
            (4, 94, "2", "entry_sequence", f"0000002 is not the end of {trace(1)}"),
            (5, 94, "1", "trace_number", "does not ascend"),
        ],
    )
    def test_addenda_and_traces(self, line: int, at: int, piece: str, field: str, reason: str) -> None:
        findings = refused(changed(NOTED, line, at, piece)).findings
        assert any(one.line == line and one.field == field and reason in one.reason for one in findings), findings

    @pytest.mark.parametrize(
        "order, line, reason",
        [
            ([2, 3, 4, 5], 1, "begins with its header"),
            ([1, 1, 2, 3, 4, 5], 2, "a second file header"),
            ([1, 3, 4, 5], 2, "its header (5) is missing"),
            ([1, 2, 2, 3, 4, 5], 3, "inside the batch of line 2"),
            ([1, 2, 3, 5], 4, "the batch of line 2 has no control"),
            ([1, 2, 3, 4], 4, "ends without its file control"),
            ([1, 2, 3], 3, "ends without its batch control"),
            ([1, 2, 3, 4, 6], 5, "filler where the file control"),
            ([1, 2, 3, 4, 5, 4], 6, "only filler of nines"),
            ([1, 5], 2, "a file has one batch at the least"),
            ([1, 2, 4, 5], 2, "a batch has one entry at the least"),
        ],
    )
    def test_order_of_records(self, order: list[int], line: int, reason: str) -> None:
        lines = ONE.splitlines()
        findings = refused("\n".join(lines[number - 1] for number in order)).findings
        assert any(one.line == line and reason in one.reason for one in findings), findings

    @pytest.mark.parametrize(
        "service_class, code, is_allowed", [(220, 22, 1), (220, 27, 0), (225, 22, 0), (225, 27, 1)]
    )
    def test_service_class(self, service_class: int, code: int, is_allowed: int) -> None:
        reading = nacha.examine(nacha.write(file(batch(entry(code), service_class=service_class))))
        assert (reading.file is not None) == bool(is_allowed)
        assert is_allowed or "does not allow the" in reading.problems[0].reason

    @pytest.mark.parametrize(
        "broken, reason",
        [
            (file(batch(entry(22), sec_code="TEL")), "TEL does not allow 22"),
            (file(batch(entry(27, amount=2_500_001), sec_code="ARC")), "ARC allows 2500000 cents at the most"),
            (file(batch(entry(addenda=(NOTE, PaymentAddenda("", 2, 1))))), "0 to 1 addenda"),
            (file(batch(entry(addenda=(TERMINAL,)))), "PPD has no addenda of type 02"),
            (file(batch(entry(27), sec_code="POS")), "POS has 1 to 1 addenda"),
            (file(batch(entry(21, addenda=(NOTICE,)), sec_code="COR")), "carries no amount"),
            (file(batch(entry(21, amount=0, addenda=(NOTICE,)))), "does not go with PPD"),
            (file(batch(entry(26, addenda=(BACK,)), sec_code="COR")), "does not go with COR"),
            (file(batch(entry(addenda=(NOTE,)), sec_code="CTX")), "'Jane' is not the number of addenda, 0001"),
            (file(batch(entry(amount=100), description="ACCTVERIFY")), "less than a dollar"),
            (file(batch(entry(27, amount=9), description="ACCTVERIFY")), "may not take more than they give"),
            (file(batch(entry()), batch(entry(sequence=2))), "1 does not ascend from 1"),
            (file(batch(entry()), batch(ADVICE, sec_code="ADV", service_class=280)), "files of their own"),
            (file(batch(entry(26, addenda=(BACK, NOTE)))), "a return has one addenda, of type 99"),
            (file(batch(entry(27, sequence=2, addenda=(TERMINAL,)), sec_code="POS")), "is not its entry's"),
            (international(IatRemittance("late", 2, 1)), "10, 11, 12, 13, 14, 15, 16, 17, 18, 18, 17 are not"),
            (
                international(IAT_BACK, IatRemittance("late", 2, 1), correspondents=0),
                "are not 10 to 16, 17, 18 in order",
            ),
            (international(NOTE), "are not 10 to 16, 17, 18 in order"),
            (international(IAT_BACK, IAT_BACK, code=21), "more than one addenda of type 98 or 99"),
            (international(remittances=3), "more than 2 addenda of type 17"),
            (international(correspondents=6), "more than 5 addenda of type 18"),
            (international(remittances=2, correspondents=5), "14 addenda, at the most 12 are allowed"),
            (
                international(IatChangeAddenda("C08", trace(1), "", "23138010", "", "", trace(1))),
                "does not go with IAT",
            ),
        ],
    )
    def test_rules_between_records(self, broken: File, reason: str) -> None:
        findings = refused(nacha.write(broken)).findings
        assert any(reason in one.reason for one in findings), findings

    def test_international_addenda_are_counted_in_the_entry(self) -> None:
        broken = changed(nacha.write(international()), 3, 13, "0009")
        assert refused(broken).reason == "9 is not the number of addenda, 10"

    @pytest.mark.parametrize("code", ["R00", "R48", "R96", "C01", "   "])
    def test_unknown_return_codes(self, code: str) -> None:
        error = refused(changed(nacha.write(WHOLE["return"]), 4, 4, code))
        assert (error.line, error.field) == (4, "return_code")

    def test_allows_the_opposite_direction_in_a_reversal(self) -> None:
        assert nacha.read(nacha.write(file(batch(entry(22), sec_code="TEL", description="REVERSAL"))))

    def test_tells_all_that_is_wrong(self) -> None:
        error = refused(changed(changed(ONE, 3, 12, "5"), 5, 8, "000003"))
        assert [(one.line, one.field) for one in error.findings] == [(3, "routing_number"), (5, "block_count")]
        assert str(error) == f"line 3: routing_number: the check digit of {RDFI[:8]}5 is wrong (and 1 more)"

    @pytest.mark.parametrize("character", ["é", "\t", "\x00", "\x7f", "…"])
    def test_refuses_what_is_not_printable_ascii(self, character: str) -> None:
        error = refused(ONE.replace("Jane", f"J{character}ne"))
        assert error.line == 3 and "at column 56 is not printable ASCII" in error.reason
        assert refused(ONE.replace("Jane", f"J{character}ne").encode()).line == 3


class TestWriter:
    @pytest.mark.parametrize(
        "wrong, field",
        [
            (entry(amount=10**10), "amount"),
            (entry(amount=-1), "amount"),
            (entry(addenda=(PaymentAddenda("x" * 81, 1, 1),)), "information"),
            (entry(addenda=(PaymentAddenda("naïve", 1, 1),)), "information"),
            (entry(sequence=10**7), "trace_number"),
        ],
    )
    def test_cuts_nothing_off(self, wrong: nacha.model.Entry, field: str) -> None:
        with pytest.raises(nacha.NachaError) as caught:
            nacha.write(file(batch(wrong)))
        assert caught.value.field == field and caught.value.line == 3 + (field == "information")

    def test_hash_keeps_ten_digits(self) -> None:
        entries = [entry(sequence=number) for number in range(1, 1001)]
        (whole,) = nacha.read(nacha.write(file(batch(*entries)))).batches
        assert whole.totals.entry_hash == int(RDFI[:8]) * 1000 % 10**10 == 3138010000
        assert whole.header.odfi_routing == ODFI
