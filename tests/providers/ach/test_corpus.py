"""The 75 sample files of moov-io/ach, each with its verdict by the NACHA rules: its totals, or why it is refused.

The totals stand here as read by people, and are summed once more from the raw columns, by nothing of ours.
"""

from pathlib import Path
from typing import NamedTuple

import pytest

from bursar.providers.ach import nacha
from bursar.providers.ach.changes import changes_in
from bursar.providers.ach.nacha import Totals
from bursar.providers.ach.returns import returns_in

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "data" / "ach"

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"the sample files are not here: {CORPUS}")


class Valid(NamedTuple):
    """count: entries and addenda. debit, credit: cents. remarks: what is unusual, and accepted."""

    count: int
    debit: int
    credit: int
    entry_hash: int
    remarks: int = 0


class Refused(NamedTuple):
    line: int
    reason: str


VALID = {
    "examples_testdata__ack-read": Valid(2, 0, 0, 6260002),
    "examples_testdata__adv-read": Valid(2, 250000, 50000, 46276020),
    "examples_testdata__arc-debit": Valid(1, 250000, 0, 23138010),
    "examples_testdata__atx-read": Valid(6, 0, 0, 6260002),
    "examples_testdata__ccd-debit": Valid(2, 500125, 0, 46276020),
    "examples_testdata__cie-credit": Valid(2, 0, 100000000, 23138010, remarks=1),
    "examples_testdata__dishonored-return": Valid(4, 48000, 0, 24208576, remarks=2),
    "examples_testdata__dne-read": Valid(2, 0, 0, 3130001),
    "examples_testdata__mte-read": Valid(2, 10000, 0, 3130001),
    "examples_testdata__ppd-credit": Valid(1, 0, 100000000, 23138010),
    "examples_testdata__ppd-debit": Valid(1, 200000000, 0, 23138010),
    "examples_testdata__tel-debit": Valid(1, 50000, 0, 23138010),
    "examples_testdata__trc-debit": Valid(1, 250000, 0, 23138010),
    "examples_testdata__trx-debit": Valid(3, 250000, 0, 23138010),
    "examples_testdata__web-credit": Valid(2, 0, 10000, 23138010),
    "test_ach-arc-read__arc-debit": Valid(1, 250000, 0, 23138010),
    "test_ach-atx-read__atx-read": Valid(6, 0, 0, 6260002),
    "test_ach-boc-read__boc-debit": Valid(1, 250000, 0, 23138010),
    "test_ach-cor-read__cor-read": Valid(2, 0, 0, 23138010, remarks=1),
    "test_ach-ctx-read__ctx-debit": Valid(3, 100000000, 0, 23138010),
    "test_ach-enr-read__enr-read": Valid(2, 0, 0, 3130001, remarks=1),
    "test_ach-pop-read__pop-debit": Valid(1, 250500, 0, 23138010),
    "test_ach-ppd-read__ppd-debit": Valid(1, 100000000, 0, 23138010),
    "test_ach-tel-read__tel-debit": Valid(1, 50000, 0, 23138010),
    "test_ach-trc-read__trc-debit": Valid(1, 250000, 0, 23138010),
    "test_ach-trx-read__trx-debit": Valid(3, 250000, 0, 23138010),
    "test_ach-web-read__web-credit": Valid(4, 0, 10799, 46276020),
    "test_issues_testdata__issue1620_return": Valid(2, 0, 1, 6200001, remarks=2),
    "test_issues_testdata_issue927__016461532850569c045ce6e1056e3d49b95727d1": Valid(2, 200000, 200000, 34787912),
    "test_issues_testdata_issue927__2b5a940e6b5bcc9f2753d31ea6309d1f49b21891": Valid(2, 15800, 15800, 34787912),
    "test_issues_testdata_issue927__a6ce094411be256f495f6135d5089b9d9533fa27": Valid(2, 250000, 250000, 34787912),
    "test_issues_testdata_issue927__bfd6b648c4b4e2d1581a0767740233f2c67cebea": Valid(2, 29500, 29500, 34787912),
    "test_issues_testdata_issue927__e2ef49fe5fa2b676feff5f3669d5fffb99e22cdc": Valid(2, 52100, 52100, 34787912),
    "test_testdata__NACHA_SAMPLE_TEL_REVERSAL": Valid(2, 685100, 685100, 5201918),
    "test_testdata__adv": Valid(2, 250000, 50000, 46276020),
    "test_testdata__flattenBatchesTraceNumberCollision": Valid(30, 0, 1500000, 347070150),
    "test_testdata__gl-debit": Valid(1, 100000000, 0, 23138010, remarks=1),
    "test_testdata__iat-addenda99": Valid(9, 0, 100000, 12104288, remarks=3),
    "test_testdata__ppd-debit-fixedLength": Valid(1, 10500, 0, 5320001, remarks=2),
    "test_testdata__return-WEB": Valid(4, 12354, 4565, 18280120),
    "test_testdata__short-line": Valid(1, 100000000, 0, 23138010, remarks=1),
    "test_testdata__txp-credit": Valid(2, 0, 12345, 6103600, remarks=2),
    "test_testdata__web-debit": Valid(6, 15000, 26820, 50600106),
}

REFUSED = {
    "test_issues_testdata__issue702": Refused(1, "' YYYYYYYYY' is not a blank and a routing number"),
    "test_issues_testdata__issue751": Refused(1, "a file begins with its header (1), this record is '5'"),
    "test_testdata__20180713-IAT": Refused(13, "service class 220 does not allow the debit 27"),
    "test_testdata__20180716-IAT-A17-A18": Refused(3, "7 is not the number of addenda, 14"),
    "test_testdata__FISERV-ZEROFILE-PIMRET825324_032720_110221": Refused(1, "'' is none of A to Z and 0 to 9"),
    "test_testdata__Iat-invalidAddenda13": Refused(7, "character U+001A at column 9 is not printable ASCII"),
    "test_testdata__adv-noFileControl": Refused(5, "the file ends without its file control (9)"),
    "test_testdata__extended-ascii": Refused(15, "byte 0xC5 at column 68 is not printable ASCII"),
    "test_testdata__flattenADVBatchesMultipleBatchHeaders": Refused(
        22, "the control says 600000, the records say 600078"
    ),
    "test_testdata__iat-addenda98": Refused(3, "a notification of change carries no amount"),
    "test_testdata__iat-batchHeaderErr": Refused(
        4, "a batch header (5) inside the batch of line 2, whose control (8) is missing"
    ),
    "test_testdata__iat-invalidAddenda15": Refused(9, "character U+001A at column 29 is not printable ASCII"),
    "test_testdata__iat-invalidAddenda16": Refused(10, "character U+001A at column 9 is not printable ASCII"),
    "test_testdata__iat-invalidAddenda17": Refused(11, "character U+001A at column 16 is not printable ASCII"),
    "test_testdata__iat-invalidAddenda18": Refused(12, "character U+001A at column 16 is not printable ASCII"),
    "test_testdata__iat-invalidAddenda99": Refused(11, "'R96' is no return code"),
    "test_testdata__iat-mixedDebitCredit": Refused(3, "7 is not the number of addenda, 10"),
    "test_testdata__invalid-two-micro-deposits": Refused(15, "'00CCC00004' is not numeric"),
    "test_testdata__moov-ids": Refused(3, "228591010000001 does not begin with 54012210"),
    "test_testdata__nonascii-utf8": Refused(3, "byte 0xC2 at column 67 is not printable ASCII"),
    "test_testdata__pos-invalidReturnFile": Refused(4, "'R96' is no return code"),
    "test_testdata__ppd-debit-fixedLengthInvalid": Refused(1, "a record has 94 characters, this line has 471"),
    "test_testdata__ppd-mixedDebitCredit-invalid": Refused(
        1, "' 000TESTER' is neither a blank and nine digits nor ten digits"
    ),
    "test_testdata__return-PPD-custom-reason-code": Refused(4, "'R97' is no return code"),
    "test_testdata__return-no-batch-controls": Refused(1, "a file begins with its header (1), this record is '5'"),
    "test_testdata__return-no-batch-header": Refused(1, "a file begins with its header (1), this record is '6'"),
    "test_testdata__return-no-file-header-control": Refused(1, "a file begins with its header (1), this record is '5'"),
    "test_testdata__txp-debit": Refused(4, "'00001  ' is not numeric"),
    "test_testdata_crashers__0": Refused(1, "a file begins with its header (1), this record is '5'"),
    "test_testdata_crashers__2": Refused(1, "a file begins with its header (1), this record is '5'"),
    "test_testdata_crashers__3": Refused(1, "a file begins with its header (1), this record is '5'"),
    "test_testdata_crashers__5": Refused(1, "byte 0xEF at column 94 is not printable ASCII"),
}


REPAIRED = {
    # broken file: what to replace so that nothing else is wrong with it
    "test_issues_testdata__issue702": (("101 YYYYYYYYY", "101 231380104"),),
    "test_testdata__20180713-IAT": (
        ("5220                FF3", "5200                FF3"),
        ("82200000080012104288", "82000000080012104288"),
    ),
    "test_testdata__flattenADVBatchesMultipleBatchHeaders": (("00000000000000600000 ", "00000000000000600078 "),),
    "test_testdata__iat-addenda98": (
        ("0000100000123456789", "0000000000123456789"),
        ("000000100000 ", "000000000000 "),
    ),
    "test_testdata__iat-invalidAddenda99": (("799R96", "799R01"),),
    "test_testdata__pos-invalidReturnFile": (("799R96", "799R01"),),
    "test_testdata__ppd-mixedDebitCredit-invalid": ((" 000TESTER", " 121042882"),),
    "test_testdata__return-PPD-custom-reason-code": (("799R97", "799R03"),),
    "test_testdata__extended-ascii": (("Aużtin", "Austin"),),
    "test_testdata__invalid-two-micro-deposits": (
        ("1917593249989988A00CCC0000444e", "191759324        000000004434e"),
        ("1121042889AAZZZ8", "1121042889211558"),
    ),
}


def content(name: str) -> bytes:
    return (CORPUS / f"{name}.ach").read_bytes()


def raw_records(data: bytes) -> list[str]:
    """Lines without their ends; a line of several records is cut."""
    lines = data.decode("ascii").replace("\r", "").split("\n")
    return [line[at : at + 94] for line in lines for at in range(0, len(line), 94)]


def summed(data: bytes) -> tuple[int, int, int, int]:
    """Count, debit, credit and hash, from fixed columns alone."""
    count = debit = credit = entry_hash = 0
    is_advice = False
    for record in raw_records(data):
        if record[0] == "5":
            is_advice = record[50:53] == "ADV"
        if record[0] not in "67":
            continue
        count += 1
        if record[0] == "6":
            amount = int(record[27:39]) if is_advice else int(record[29:39])
            if record[1:3] in {"21", "22", "23", "24", "31", "32", "33", "34", "41", "42", "51", "52", "81", "83"}:
                credit += amount
            else:
                debit += amount
            entry_hash += int(record[3:11])
    return count, debit, credit, entry_hash % 10_000_000_000


def told(data: bytes) -> tuple[int, int, int, int]:
    """The same, as the file's own control says."""
    control = next(record for record in raw_records(data) if record[0] == "9")
    is_advice = any(record[0] == "5" and record[50:53] == "ADV" for record in raw_records(data))
    width = 20 if is_advice else 12
    amounts = control[31 : 31 + 2 * width]
    return int(control[13:21]), int(amounts[:width]), int(amounts[width:]), int(control[21:31])


class TestCorpus:
    def test_has_a_verdict_for_every_file(self) -> None:
        assert {path.stem for path in CORPUS.glob("*.ach")} == VALID.keys() | REFUSED.keys()
        assert not VALID.keys() & REFUSED.keys()
        assert len(VALID) + len(REFUSED) == 75

    @pytest.mark.parametrize("name", VALID)
    def test_reads_to_the_right_totals(self, name: str) -> None:
        expected = VALID[name]
        data = content(name)
        assert summed(data) == told(data) == expected[:4]

        reading = nacha.examine(data)

        assert not reading.problems and len(reading.remarks) == expected.remarks
        assert reading.file is not None
        totals = reading.file.totals
        batches = sum(1 for record in raw_records(data) if record[0] == "5")
        assert totals == Totals(batches, expected.count, expected.entry_hash, expected.debit, expected.credit)

    @pytest.mark.parametrize("name", VALID)
    def test_is_written_as_it_was_read(self, name: str) -> None:
        original = [record.rstrip(" ") for record in raw_records(content(name)) if record.strip()]

        written = nacha.write(nacha.read(content(name))).splitlines()

        assert all(len(line) == 94 for line in written) and len(written) % 10 == 0
        if len(original) % 10:
            assert name == "test_testdata__ppd-debit-fixedLength", "the one file without filler"
            original += ["9" * 94] * (-len(original) % 10)
        assert [line.rstrip(" ") for line in written] == original

    @pytest.mark.parametrize("name", REFUSED)
    def test_refuses_with_line_and_reason(self, name: str) -> None:
        expected = REFUSED[name]

        with pytest.raises(nacha.NachaError) as caught:
            nacha.read(content(name))

        assert (caught.value.line, caught.value.reason) == expected
        assert f"line {expected.line}: " in str(caught.value) and expected.reason in str(caught.value)

    @pytest.mark.parametrize("name", REPAIRED)
    def test_reads_once_that_fault_is_mended(self, name: str) -> None:
        text = content(name).decode("utf-8")
        for wrong, right in REPAIRED[name]:
            assert wrong in text
            text = text.replace(wrong, right)

        assert nacha.write(nacha.read(text))


class TestReturnsOfTheCorpus:
    def test_web(self) -> None:
        found = returns_in(nacha.read(content("test_testdata__return-WEB")))
        assert [(one.code, one.original_trace_number, one.amount, one.is_credit) for one in found] == [
            ("R01", "091400600000001", 12354, False),
            ("R03", "091400600000003", 4565, True),
        ]
        assert [one.reason.decline_code for one in found] == ["insufficient_funds", "account_not_found"]

    def test_dishonored(self) -> None:
        first, second = returns_in(nacha.read(content("examples_testdata__dishonored-return")))
        assert (first.code, first.original_return_code, first.information) == ("R68", "R01", "Untimely Return")
        assert first.return_trace_number == "123918710000001" and not first.is_plain
        assert (first.amount, second.amount) == (25000, 23000)

    def test_international(self) -> None:
        (found,) = returns_in(nacha.read(content("test_testdata__iat-addenda99")))
        assert (found.code, found.original_trace_number, found.amount) == ("R01", "231380100000001", 100_000)
        assert found.information == "Authorization Revoked"

    def test_change(self) -> None:
        file = nacha.read(content("test_ach-cor-read__cor-read"))
        (change,) = changes_in(file)
        assert (change.code, change.original_trace_number) == ("C01", "121042880000001")
        assert change.correction is not None and change.correction.account_number == "1918171614"
        assert not returns_in(file)
