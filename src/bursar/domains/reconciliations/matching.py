"""Holding a provider's account against ours: every row and every movement of ours ends in one finding. Pure, and
linear but for sorting.

Rows and movements meet in groups: of one payment and movement, or, on a bank's account, of one reference. Within a
group those that agree in reference, amount and currency are paired first, then those that agree in amount and
currency, by time; what is left of both is paired by reference, then by time, and differs.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from bursar.domains.reconciliations.fees import Fee
from bursar.domains.reconciliations.model import Kind, Movement, Row

LOOSE: Final = timedelta(days=10)
"""How far apart an entry of a bank and a movement of ours may lie that no reference ties together."""

UNDOING: Final = frozenset({Movement.REFUND, Movement.DISPUTE, Movement.FAILURE})
"""What says of a charge that it did not stay."""

BY_THEMSELVES: Final = frozenset({Movement.PAYOUT, Movement.FEE})
"""What has no counterpart on our side: it is booked as it comes."""


class Ours(msgspec.Struct, frozen=True):
    """A movement of ours. amount: what it moved on the account, minor units, debit positive; fee: what was booked of
    its fee already. group: the payment's id, or, on a bank's account, the journal's.

    is_due: it should be in this file. is_spent: an item has it already. missing_item: the open item that says that it
    was missing with them.
    """

    journal_id: str
    group: str
    movement: Movement
    references: tuple[str, ...]
    currency: str
    amount: int
    fee: int
    occurred_at: datetime
    payment_id: str | None = None
    is_due: bool = True
    is_spent: bool = False
    missing_item: str | None = None


class Finding(msgspec.Struct, frozen=True):
    """What became of a row, of a movement of ours, or of both. fee: to be booked as the provider's; payout: as arrived
    at the bank; suspense: by currency; all minor units, debit positive. What is left goes to the account reconciled.
    """

    kind: Kind
    row: Row | None = None
    ours: Ours | None = None
    fee: int = 0
    payout: int = 0
    suspense: dict[str, int] = {}
    expected_fee: int | None = None
    payment_id: str | None = None

    @property
    def key(self) -> str:
        """Unique among the findings of a statement. A row of an earlier one counts for the movement that it awaited."""
        if self.row is not None and self.row.closes is None:
            return self.row.key
        assert self.ours is not None
        return f"ours:{self.ours.journal_id}"


class Rules(msgspec.Struct, frozen=True):
    """late: how long after ours theirs is not late. fees: by currency; where none is known, none is checked. is_loose:
    amounts alone may pair what no reference ties together (a bank's statement).
    """

    late: timedelta
    fees: Mapping[str, Fee]
    is_loose: bool = False


class Names:
    """By what references the groups of our movements are known; what was learned of rows counts after that."""

    def __init__(self, ours: Iterable[Ours]) -> None:
        self._groups: dict[str, str] = {}
        self._learned: dict[str, str] = {}
        for movement in ours:
            for reference in movement.references:
                self._groups.setdefault(reference, movement.group)

    def learn(self, rows: Iterable[Row]) -> None:
        """Take over what else the rows of known groups are called: others may name them so (a refund its capture)."""
        for row in rows:
            group = self._group_among(self._groups, row)
            if group is not None:
                for name in (row.id, *row.references):
                    self._learned.setdefault(name, group)

    def group_of(self, row: Row) -> str | None:
        """The group to which the first known reference of a row leads."""
        group = self._group_among(self._groups, row)
        return group if group is not None else self._group_among(self._learned, row)

    @staticmethod
    def _group_among(groups: Mapping[str, str], row: Row) -> str | None:
        return next((groups[name] for name in row.references if name in groups), None)


def strangers(rows: Sequence[Row], ours: Sequence[Ours]) -> list[Row]:
    """The rows for which no movement is left among `ours`: there may be some beyond the period."""
    names = Names(ours)
    names.learn(rows)
    left: dict[tuple[str, Movement], int] = defaultdict(int)
    for movement in ours:
        left[movement.group, movement.movement] += 1
    found = []
    for row in rows:
        group = names.group_of(row)
        if group is not None and left[group, row.movement] > 0:
            left[group, row.movement] -= 1
        elif row.movement not in BY_THEMSELVES:
            found.append(row)
    return found


def match(rows: Sequence[Row], ours: Sequence[Ours], rules: Rules, *, repeated: frozenset[str]) -> list[Finding]:
    """One finding for each row, in their order, then one for each due movement of ours that none of them is.

    repeated: ids of rows that an earlier reconciliation had.
    """
    return _Matching(rows, ours, rules, repeated).findings()


def settle_earlier(findings: Sequence[Finding], waiting: Sequence[Row], rules: Rules) -> list[Finding]:
    """The findings, those changed that say that a movement of ours is missing where an open item of an earlier
    reconciliation is just the row for it.

    waiting: rows that were missing with us, each with the item that it `closes`.
    """
    by_name: dict[tuple[str, Movement, str, int], list[Row]] = defaultdict(list)
    for row in sorted(waiting, key=_when_theirs, reverse=True):
        for name in row.references:
            by_name[name, row.movement, row.currency, row.gross].append(row)
    taken: set[str] = set()
    told = []
    for finding in findings:
        ours = finding.ours
        if finding.kind is Kind.MISSING_WITH_THEM and ours is not None:
            keys = [(name, ours.movement, ours.currency, ours.amount) for name in ours.references]
            found = next((row for key in keys for row in reversed(by_name[key]) if row.key not in taken), None)
            if found is not None:
                taken.add(found.key)
                told.append(_together(found, ours, rules))
                continue
        told.append(finding)
    return told


class _Matching:
    """The pairs as they are found."""

    def __init__(self, rows: Sequence[Row], ours: Sequence[Ours], rules: Rules, repeated: frozenset[str]) -> None:
        self._rows = rows
        self._ours = ours
        self._rules = rules
        self._repeated = repeated
        self._names = Names(ours)
        if not rules.is_loose:
            self._names.learn(rows)
        self._payments = {movement.group: movement.payment_id for movement in ours}
        self._found: dict[str, Finding] = {}
        self._paired: set[str] = set()

    def findings(self) -> list[Finding]:
        groups = self._grouped()
        ours_by_group: dict[tuple[str, Movement], list[Ours]] = defaultdict(list)
        for movement in self._ours:
            ours_by_group[movement.group, movement.movement].append(movement)
        for key, rows in groups.items():
            self._pair_group(rows, ours_by_group.get(key, []))
        self._undo(ours_by_group)
        if self._rules.is_loose:
            self._pair_loosely()
        for row in self._rows:
            if row.key not in self._found:
                self._keep(row, self._unpaired(row, ours_by_group))
        told = [self._found[row.key] for row in self._rows]
        return told + [_missing_with_them(movement) for movement in self._left() if movement.is_due]

    def _grouped(self) -> dict[tuple[str, Movement], list[Row]]:
        groups: dict[tuple[str, Movement], list[Row]] = defaultdict(list)
        seen: set[str] = set()
        for row in self._rows:
            if row.id in self._repeated:
                self._keep(row, Finding(Kind.REPEATED, row, payment_id=self._payment_of(row)))
            elif row.id in seen:
                self._keep(row, self._alone(Kind.DUPLICATE, row))
            elif row.movement in BY_THEMSELVES:
                self._keep(row, _by_itself(row))
            elif (group := self._names.group_of(row)) is not None:
                groups[group, row.movement].append(row)
            seen.add(row.id)
        return groups

    def _pair_group(self, rows: list[Row], ours: list[Ours]) -> None:
        free = [movement for movement in ours if not movement.is_spent]
        for exactly in (_by_reference_and_amount, _by_amount):
            rows, free = self._pair_alike(rows, free, exactly)
        rows = self._keep_duplicates(rows, ours)
        rows, free = self._pair_alike(rows, free, _by_reference)
        for row, movement in zip(sorted(rows, key=_when_theirs), sorted(free, key=_when_ours), strict=False):
            self._pair(row, movement)

    def _pair_alike(
        self, rows: list[Row], ours: list[Ours], keys: Callable[[Row | Ours], Sequence[Hashable]]
    ) -> tuple[list[Row], list[Ours]]:
        """Pair those that share a key, in the order of time. Returns what is left of both."""
        waiting: dict[Hashable, list[Ours]] = defaultdict(list)
        for movement in sorted(ours, key=_when_ours, reverse=True):
            for key in keys(movement):
                waiting[key].append(movement)
        left = []
        for row in sorted(rows, key=_when_theirs):
            found = next((taken for key in keys(row) if (taken := self._next(waiting[key])) is not None), None)
            if found is None:
                left.append(row)
            else:
                self._pair(row, found)
        return left, [movement for movement in ours if movement.journal_id not in self._paired]

    def _next(self, waiting: list[Ours]) -> Ours | None:
        """The oldest that is not paired yet."""
        while waiting and waiting[-1].journal_id in self._paired:
            waiting.pop()
        return waiting.pop() if waiting else None

    def _keep_duplicates(self, rows: list[Row], ours: list[Ours]) -> list[Row]:
        """Those of `rows` that are no second telling of a movement that is paired or spent."""
        told = {
            (movement.currency, movement.amount)
            for movement in ours
            if movement.is_spent or movement.journal_id in self._paired
        }
        left = []
        for row in rows:
            if (row.currency, row.gross) in told:
                self._keep(row, self._alone(Kind.DUPLICATE, row))
            else:
                left.append(row)
        return left

    def _undo(self, ours_by_group: Mapping[tuple[str, Movement], list[Ours]]) -> None:
        """Pair what says that a charge did not stay with the charge, where nothing else says anything of it."""
        for row in self._rows:
            if row.key in self._found or row.movement not in UNDOING:
                continue
            group = self._names.group_of(row)
            charges = ours_by_group.get((group, Movement.CHARGE), []) if group is not None else []
            free = [c for c in charges if c.is_due and not c.is_spent and c.journal_id not in self._paired]
            if free:
                self._pair(row, min(free, key=_when_ours))

    def _pair_loosely(self) -> None:
        waiting: dict[tuple[str, int], list[Ours]] = defaultdict(list)
        for movement in sorted(self._left(), key=_when_ours, reverse=True):
            waiting[movement.currency, movement.amount].append(movement)
        for row in sorted(self._rows, key=_when_theirs):
            if row.key in self._found:
                continue
            alike = waiting[row.currency, row.gross]
            while alike and row.occurred_at - alike[-1].occurred_at > LOOSE:
                alike.pop()
            if alike and alike[-1].occurred_at - row.occurred_at <= LOOSE:
                self._pair(row, alike.pop())

    def _left(self) -> list[Ours]:
        return [m for m in self._ours if not m.is_spent and m.journal_id not in self._paired]

    def _pair(self, row: Row, ours: Ours) -> None:
        self._paired.add(ours.journal_id)
        self._keep(row, _together(row, ours, self._rules))

    def _unpaired(self, row: Row, ours_by_group: Mapping[tuple[str, Movement], list[Ours]]) -> Finding:
        """A row without a counterpart: of a charge that we know, or of nothing."""
        group = self._names.group_of(row)
        is_undone = row.movement in UNDOING and group is not None and (group, Movement.CHARGE) in ours_by_group
        return self._alone(Kind.STATUS if is_undone else Kind.MISSING_WITH_US, row)

    def _alone(self, kind: Kind, row: Row) -> Finding:
        """A row that has no counterpart: all of it is in question."""
        return Finding(kind, row, suspense=_some({row.currency: -row.net}), payment_id=self._payment_of(row))

    def _payment_of(self, row: Row) -> str | None:
        group = self._names.group_of(row)
        return None if group is None else self._payments[group]

    def _keep(self, row: Row, finding: Finding) -> None:
        self._found[row.key] = finding


def _by_reference_and_amount(one: Row | Ours) -> Sequence[Hashable]:
    amount = one.gross if isinstance(one, Row) else one.amount
    return [(reference, one.currency, amount) for reference in one.references]


def _by_amount(one: Row | Ours) -> Sequence[Hashable]:
    return [(one.currency, one.gross if isinstance(one, Row) else one.amount)]


def _by_reference(one: Row | Ours) -> Sequence[Hashable]:
    return one.references


def _when_ours(movement: Ours) -> tuple[datetime, str]:
    return movement.occurred_at, movement.journal_id


def _when_theirs(row: Row) -> tuple[datetime, int, str]:
    return row.occurred_at, row.line or 0, row.key


def _together(row: Row, ours: Ours, rules: Rules) -> Finding:
    """A pair: how it differs, the weightiest difference first, and what is to be booked so that the account says what
    they say.
    """
    booked = ours.amount - ours.fee
    if row.currency != ours.currency:
        return Finding(Kind.CURRENCY, row, ours, suspense=_some({row.currency: -row.net, ours.currency: booked}))
    if row.movement in UNDOING and ours.movement is Movement.CHARGE:
        return Finding(Kind.STATUS, row, ours, suspense=_some({row.currency: booked - row.net}))
    expected = _expected_fee(row, ours, rules.fees.get(row.currency))
    kind, fee = Kind.MATCHED, row.fee - ours.fee
    if row.gross != ours.amount:
        kind = Kind.AMOUNT
    elif expected is not None or row.gross - row.fee != row.net:
        kind, fee = Kind.FEE, (row.fee if expected is None else expected) - ours.fee
    elif row.occurred_at - ours.occurred_at > rules.late:
        kind = Kind.LATE
    rest = booked - row.net - fee
    return Finding(kind, row, ours, fee=fee, suspense=_some({row.currency: rest}), expected_fee=expected)


def _expected_fee(row: Row, ours: Ours, terms: Fee | None) -> int | None:
    """The fee that it should have been; None where it is, or nobody says. A dispute's was booked with it."""
    if ours.movement is Movement.DISPUTE:
        return None if row.fee == ours.fee else ours.fee
    if ours.movement is not Movement.CHARGE or terms is None or terms.is_kept(row.gross, row.fee):
        return None
    return terms.expected(row.gross)


def _by_itself(row: Row) -> Finding:
    """A payout or a fee: booked whole; what its own amounts leave over is a difference."""
    payout = -row.gross if row.movement is Movement.PAYOUT else 0
    fee = row.fee if payout else -row.net
    rest = -row.net - fee - payout
    return Finding(
        Kind.FEE if rest else Kind.MATCHED, row, fee=fee, payout=payout, suspense=_some({row.currency: rest})
    )


def _missing_with_them(ours: Ours) -> Finding:
    return Finding(Kind.MISSING_WITH_THEM, None, ours, suspense=_some({ours.currency: ours.amount - ours.fee}))


def _some(suspense: dict[str, int]) -> dict[str, int]:
    return {currency: amount for currency, amount in suspense.items() if amount}
