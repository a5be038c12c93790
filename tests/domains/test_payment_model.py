"""The table of a payment's life, edge by edge, and the arithmetic of captures. Pure."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from bursar import wiring
from bursar.domains.payments.model import (
    ACTIONS,
    MACHINE,
    PROCESSING,
    PUBLIC,
    AmountExceedsCapturable,
    Attempt,
    CaptureMethod,
    FinalCaptureUnderWay,
    Kind,
    Payment,
    PublicStatus,
    Status,
    captured,
    not_captured,
    refuse_capture,
)
from bursar.kit.errors import InvalidTransition, StaleVersion
from bursar.kit.machine import Machine, match_version

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
S = Status

ALLOWED: dict[Status, list[str]] = {
    S.PENDING: ["authorize", "cancel", "fail"],
    S.IN_REVIEW: ["cancel", "fail"],
    S.REQUIRES_ACTION: ["authorize", "cancel", "fail"],
    S.AUTHORIZING: [],
    S.AUTHORIZED: ["cancel", "capture", "fail"],
    S.CAPTURING: ["capture"],
    S.PARTIALLY_CAPTURED: ["capture", "complete"],
    S.CAPTURED: ["complete"],
    S.VOIDING: [],
    S.COMPLETED: [],
    S.FAILED: [],
    S.CANCELLED: [],
    S.EXPIRED: [],
}
"""What a caller may ask for in each status: said here once more, so that a change of the table is meant."""

ALL_ACTIONS = sorted({edge.action for edge in MACHINE.edges})


def payment(status: Status = S.AUTHORIZED, **changes: Any) -> Payment:
    values: dict[str, Any] = {
        "id": "p",
        "version": 3,
        "payment_number": "PAY-1",
        "order_id": "o",
        "customer_id": "c",
        "amount": 100,
        "currency": "EUR",
        "capture_method": CaptureMethod.MANUAL,
        "status": status,
        "metadata": {},
        "amount_authorized": 100,
        "amount_capturing": 0,
        "amount_captured": 0,
        "amount_unallocated": 0,
        "amount_refunding": 0,
        "amount_refunded": 0,
        "amount_disputed": 0,
        "is_capture_final": False,
        "provider": "sandbox",
        "attempts": (),
        "asked_by": (),
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Payment(**{**values, **changes})


def attempt(name: str, amount: int, *, is_final: bool = False) -> Attempt:
    return Attempt(name, Kind.CAPTURE, amount, NOW, S.AUTHORIZED, is_final=is_final)


class TestTable:
    @pytest.mark.parametrize("status", Status)
    @pytest.mark.parametrize("action", ALL_ACTIONS)
    def test_every_status_and_action(self, status: Status, action: str) -> None:
        edges = [edge for edge in MACHINE.edges if (edge.source, edge.action) == (status, action)]
        before = payment(status)
        if edges:
            after, event = MACHINE.advance(before, action, NOW, description="changed")
            assert (after.status, event, after.version) == (edges[0].target, edges[0].event, 4)
            assert after.description == "changed" and before.description is None
        else:
            with pytest.raises(InvalidTransition) as refused:
                MACHINE.advance(before, action, NOW)
            assert refused.value.context == {"state": str(PUBLIC[status]), "allowed": ALLOWED[status]}

    @pytest.mark.parametrize("status", Status)
    def test_allows_callers_what_is_written_down(self, status: Status) -> None:
        assert MACHINE.allowed(status) == ALLOWED[status]
        assert [action for action in sorted(ACTIONS) if MACHINE.allows(status, action)] == ALLOWED[status]

    def test_reaches_every_status_from_the_first(self) -> None:
        reached, before = {MACHINE.initial}, set[Status]()
        while reached != before:
            before = set(reached)
            reached |= {edge.target for edge in MACHINE.edges if edge.source in reached}
        assert reached == set(Status)

    def test_leads_out_of_every_processing_status(self) -> None:
        for status in PROCESSING:
            assert {edge.target for edge in MACHINE.edges if edge.source == status} - PROCESSING

    def test_shows_each_inner_status_as_one_public_status(self) -> None:
        assert set(PUBLIC) == set(Status) and set(PUBLIC.values()) == set(PublicStatus)

    @pytest.mark.parametrize("machine", wiring.MACHINES, ids=lambda machine: machine.name)
    def test_names_its_events_after_the_machine(self, machine: Machine[Any]) -> None:
        assert all(machine.name.startswith(edge.event.partition(".")[0]) for edge in machine.edges)

    @pytest.mark.parametrize("machine", wiring.MACHINES, ids=lambda machine: machine.name)
    def test_is_drawn_whole(self, machine: Machine[Any]) -> None:
        drawing = machine.drawing().splitlines()
        assert drawing[0] == "stateDiagram-v2"
        assert sum(": " in line for line in drawing) == len(machine.edges)


class TestMatchVersion:
    def test_takes_the_present_one_or_none(self) -> None:
        match_version(3, 3)
        match_version(3, None)
        with pytest.raises(StaleVersion):
            match_version(3, 2)


class TestRefuseCapture:
    def test_counts_what_is_under_way(self) -> None:
        held = payment(amount_captured=30, amount_capturing=50)
        refuse_capture(held, 20)
        with pytest.raises(AmountExceedsCapturable) as refused:
            refuse_capture(held, 21)
        assert refused.value.context == {"amountCapturable": 20}

    def test_lets_nothing_behind_the_final_one(self) -> None:
        with pytest.raises(FinalCaptureUnderWay):
            refuse_capture(payment(is_capture_final=True), 1)


class TestCaptured:
    @pytest.mark.parametrize(
        "amount, before, is_final, others, action",
        [
            (100, 0, False, (), "captured_in_full"),
            (40, 60, False, (), "captured_in_full"),
            (40, 0, True, (), "captured_in_full"),
            (40, 0, False, (), "captured_in_part"),
            (40, 0, False, (attempt("b", 10),), "captured_with_more_under_way"),
            (40, 0, True, (attempt("b", 10),), "captured_with_more_under_way"),
        ],
    )
    def test_moves_the_amount_over(
        self, amount: int, before: int, is_final: bool, others: tuple[Attempt, ...], action: str
    ) -> None:
        mine = attempt("a", amount, is_final=is_final)
        under_way = amount + sum(other.amount for other in others)
        held = payment(
            S.CAPTURING,
            attempts=(mine, *others),
            amount_captured=before,
            amount_capturing=under_way,
            is_capture_final=is_final,
        )
        name, changes = captured(held, mine)
        after = msgspec.structs.replace(held, **changes)
        assert name == action and MACHINE.allows(S.CAPTURING, name)
        assert (after.amount_captured, after.amount_capturing) == (before + amount, under_way - amount)
        assert after.attempts == others


class TestNotCaptured:
    @pytest.mark.parametrize(
        "before, is_final, mine_is_final, others, action, stays_final",
        [
            (0, False, False, (), "not_captured", False),
            (0, True, True, (), "not_captured", False),
            (30, False, False, (), "not_captured_after_part", False),
            (30, True, True, (), "not_captured_after_part", False),
            (30, True, False, (), "not_captured_after_final", True),
            (30, True, True, (attempt("b", 10),), "not_captured_with_more_under_way", False),
            (30, True, False, (attempt("b", 10, is_final=True),), "not_captured_with_more_under_way", True),
        ],
    )
    def test_lets_the_amount_be_captured_again(
        self,
        before: int,
        is_final: bool,
        mine_is_final: bool,
        others: tuple[Attempt, ...],
        action: str,
        stays_final: bool,
    ) -> None:
        mine = attempt("a", 40, is_final=mine_is_final)
        held = payment(
            S.CAPTURING,
            attempts=(mine, *others),
            amount_captured=before,
            amount_capturing=40 + sum(other.amount for other in others),
            is_capture_final=is_final,
        )
        name, changes = not_captured(held, mine)
        after = msgspec.structs.replace(held, **changes)
        assert name == action and MACHINE.allows(S.CAPTURING, name)
        assert (after.amount_captured, after.is_capture_final) == (before, stays_final)
        assert after.amount_capturable == held.amount_capturable + 40
