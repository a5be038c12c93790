"""From instructions to a file: whatever they are, it reads to the same, and no digit of its controls can change."""

from datetime import UTC, date, datetime
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.providers.ach import nacha
from bursar.providers.ach.build import (
    AccountType,
    Direction,
    Instruction,
    InstructionError,
    Originator,
    build,
    plain,
    trace_number,
)
from bursar.providers.ach.calendar import SAME_DAY_AMOUNT_MAX, SAME_DAY_WINDOWS
from bursar.providers.ach.nacha.model import Entry, File
from bursar.providers.ach.nacha.records import BatchHeader

NOW = datetime(2026, 7, 2, 14, 30, tzinfo=UTC)
MONDAY, TUESDAY = date(2026, 7, 6), date(2026, 7, 7)
ORIGINATOR = Originator(
    immediate_destination="231380104",
    immediate_origin="121042882",
    destination_name="Federal Reserve Bank",
    origin_name="My Bank Name",
    company_name="Bursar Marketplace Incorporated",
    company_id="1234567890",
    odfi_routing="12104288",
    entry_description="PAYOUT",
)
PAYOUT = Instruction(
    trace_sequence=1,
    direction=Direction.CREDIT,
    amount=12_345,
    routing_number="231380104",
    account_number="12345678",
    account_type=AccountType.CHECKING,
    holder_name="Zoë Müller-Łukasiewicz the Younger",
    individual_id="VENDOR-1",
    sec_code="PPD",
    effective_on=MONDAY,
)


def but(**changes: object) -> Instruction:
    return msgspec.structs.replace(PAYOUT, **changes)


words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=15)
notes = st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80)


@st.composite
def one_instruction(draw: st.DrawFn, sequence: int) -> Instruction:
    is_prenote = draw(st.booleans())
    return Instruction(
        trace_sequence=sequence,
        direction=draw(st.sampled_from(Direction)),
        amount=0 if is_prenote else draw(st.integers(1, SAME_DAY_AMOUNT_MAX)),
        routing_number=draw(st.sampled_from(["231380104", "121042882", "091400606", "273976369"])),
        account_number=draw(words),
        account_type=draw(st.sampled_from(AccountType)),
        holder_name=draw(st.text(min_size=1, max_size=40).filter(str.strip)),
        individual_id=draw(words),
        sec_code=draw(st.sampled_from(["PPD", "CCD", "WEB"])),
        effective_on=draw(st.sampled_from([MONDAY, TUESDAY])),
        addenda=draw(notes),
        is_prenote=is_prenote,
        same_day=draw(st.none() | st.sampled_from(SAME_DAY_WINDOWS)),
        is_recurring=draw(st.booleans()),
    )


@st.composite
def instructions(draw: st.DrawFn) -> list[Instruction]:
    sequences = draw(st.lists(st.integers(0, 9_999_999), min_size=1, max_size=12, unique=True))
    return [draw(one_instruction(sequence)) for sequence in sequences]


def made(*given_instructions: Instruction) -> File:
    return build(given_instructions, ORIGINATOR, created_at=NOW)


def entries_of(file: File) -> list[Entry]:
    return [entry for batch in file.batches for entry in batch.entries if isinstance(entry, Entry)]


def header_of(file: File) -> BatchHeader:
    header = file.batches[0].header
    assert isinstance(header, BatchHeader)
    return header


class TestAnyInstructions:
    @given(instructions())
    def test_write_and_read_give_the_same(self, given_instructions: list[Instruction]) -> None:
        file = build(given_instructions, ORIGINATOR, created_at=NOW)
        text = nacha.write(file)

        assert nacha.examine(text) == nacha.Reading(file, (), ())
        assert sum(entry.amount for entry in entries_of(file)) == sum(one.amount for one in given_instructions)
        by_trace = {entry.trace_number: entry for entry in entries_of(file)}
        assert len(by_trace) == len(given_instructions)
        for one in given_instructions:
            entry = by_trace[trace_number("12104288", one.trace_sequence)]
            assert (entry.amount, entry.account_number) == (one.amount, one.account_number)

    @given(instructions(), st.randoms(use_true_random=False))
    def test_order_does_not_matter(self, given_instructions: list[Instruction], random: Random) -> None:
        mixed = list(given_instructions)
        random.shuffle(mixed)
        first, second = (build(some, ORIGINATOR, created_at=NOW) for some in (given_instructions, mixed))
        assert nacha.write(first) == nacha.write(second)

    @given(instructions(), st.data())
    def test_no_digit_of_money_or_controls_can_change(self, some: list[Instruction], data: st.DataObject) -> None:
        lines = nacha.write(build(some, ORIGINATOR, created_at=NOW)).splitlines()
        columns = {"6": [*range(3, 12), *range(29, 39)], "8": [*range(1, 44), *range(79, 94)], "9": list(range(1, 55))}
        places = [
            (number, at) for number, line in enumerate(lines) if line != "9" * 94 for at in columns.get(line[0], [])
        ]
        number, at = data.draw(st.sampled_from(places))
        digit = data.draw(st.sampled_from([other for other in "0123456789" if other != lines[number][at]]))
        lines[number] = lines[number][:at] + digit + lines[number][at + 1 :]

        with pytest.raises(nacha.NachaError):
            nacha.read("\n".join(lines))


class TestBuild:
    def test_by_example(self) -> None:
        text = nacha.write(made(PAYOUT, but(trace_sequence=2, direction=Direction.DEBIT, addenda="Invoice 7")))
        assert text.splitlines()[:6] == [
            "101 231380104 1210428822607021030A094101Federal Reserve Bank   My Bank Name                   ",
            "5200Bursar Marketpla                    1234567890PPDPAYOUT          260706   1121042880000001",
            "62223138010412345678         0000012345VENDOR-1       Zoe Muller-?ukasiewicz  0121042880000001",
            "62723138010412345678         0000012345VENDOR-1       Zoe Muller-?ukasiewicz  1121042880000002",
            "705Invoice 7                                                                       00010000002",
            "820000000300462760200000000123450000000123451234567890                         121042880000001",
        ]
        assert text.splitlines()[6].startswith("9000001000001000000030046276020000000012345000000012345")

    @pytest.mark.parametrize(
        "direction, account_type, is_prenote, code",
        [
            (Direction.CREDIT, AccountType.CHECKING, False, 22),
            (Direction.CREDIT, AccountType.CHECKING, True, 23),
            (Direction.DEBIT, AccountType.CHECKING, False, 27),
            (Direction.DEBIT, AccountType.CHECKING, True, 28),
            (Direction.CREDIT, AccountType.SAVINGS, False, 32),
            (Direction.CREDIT, AccountType.SAVINGS, True, 33),
            (Direction.DEBIT, AccountType.SAVINGS, False, 37),
            (Direction.DEBIT, AccountType.SAVINGS, True, 38),
        ],
    )
    def test_transaction_code(
        self, direction: Direction, account_type: AccountType, is_prenote: bool, code: int
    ) -> None:
        amount = 0 if is_prenote else 100
        one = but(direction=direction, account_type=account_type, is_prenote=is_prenote, amount=amount)
        file = made(one)
        assert [entry.transaction_code for entry in entries_of(file)] == [code]
        assert header_of(file).service_class == (220 if direction is Direction.CREDIT else 225)

    def test_groups_by_class_day_and_window(self) -> None:
        file = made(
            but(trace_sequence=1, effective_on=TUESDAY),
            but(trace_sequence=2),
            but(trace_sequence=3, sec_code="CCD"),
            but(trace_sequence=4, same_day=SAME_DAY_WINDOWS[0]),
            but(trace_sequence=5),
        )
        assert [
            (batch.header.batch_number, batch.header.sec_code, batch.header.effective_date, len(batch.entries))
            for batch in file.batches
        ] == [(1, "CCD", "260706", 1), (2, "PPD", "260706", 2), (3, "PPD", "260706", 1), (4, "PPD", "260707", 1)]

    @pytest.mark.parametrize("window, told", list(zip(SAME_DAY_WINDOWS, ["SD1300", "SD1700", "SD1800"], strict=True)))
    def test_asks_for_same_day(self, window: tuple[object, ...], told: str) -> None:
        assert header_of(made(but(same_day=window))).descriptive_date == told

    def test_tells_whether_a_web_debit_recurs(self) -> None:
        file = made(but(sec_code="WEB"), but(sec_code="WEB", trace_sequence=2, is_recurring=True))
        assert [entry.discretionary for entry in entries_of(file)] == ["S", "R"]

    @pytest.mark.parametrize(
        "changes, field",
        [
            ({"trace_sequence": 10_000_000}, "trace_sequence"),
            ({"sec_code": "TEL"}, "sec_code"),
            ({"amount": 0}, "amount"),
            ({"amount": -5}, "amount"),
            ({"is_prenote": True}, "amount"),
            ({"amount": SAME_DAY_AMOUNT_MAX + 1, "same_day": SAME_DAY_WINDOWS[0]}, "amount"),
            ({"effective_on": date(2026, 7, 4)}, "effective_on"),
            ({"routing_number": "231380105"}, "routing_number"),
            ({"account_number": "1" * 18}, "account_number"),
            ({"account_number": " "}, "account_number"),
            ({"individual_id": "é"}, "individual_id"),
            ({"holder_name": " "}, "holder_name"),
            ({"addenda": "x" * 81}, "addenda"),
        ],
    )
    def test_refuses_what_cannot_be_sent(self, changes: dict[str, object], field: str) -> None:
        with pytest.raises(InstructionError) as caught:
            made(but(**changes))
        assert caught.value.field == field

    def test_takes_the_most_that_same_day_takes(self) -> None:
        assert made(but(amount=SAME_DAY_AMOUNT_MAX, same_day=SAME_DAY_WINDOWS[0])).totals.credit == 100_000_000

    def test_refuses_a_trace_twice(self) -> None:
        with pytest.raises(InstructionError, match="stands in this file already"):
            made(PAYOUT, but(sec_code="CCD"))

    @pytest.mark.parametrize(
        "changes, field",
        [
            ({"immediate_destination": "231380105"}, "immediate_destination"),
            ({"company_id": "12345678901"}, "company_id"),
            ({"odfi_routing": "1210428"}, "odfi_routing"),
            ({"entry_description": " "}, "entry_description"),
        ],
    )
    def test_refuses_an_originator_against_the_rules(self, changes: dict[str, str], field: str) -> None:
        with pytest.raises(nacha.NachaError) as caught:
            build([PAYOUT], msgspec.structs.replace(ORIGINATOR, **changes), created_at=NOW)
        assert caught.value.field == field

    def test_makes_names_plain(self) -> None:
        assert plain("José Ñandú  ", 22) == "Jose Nandu"
        assert plain("李 Ltd", 3) == "? L"
