"""The bank: what it took, its books by account, and what it has to say on which day."""

import hashlib
import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from simulators.bank import nacha, pain
from simulators.bank.accounts import ABOUT, ACH, SEPA, Course, after
from simulators.bank.nacha import Refused
from simulators.kit.message import Answer, Refusal, Request, Route
from simulators.kit.openapi import Violation
from simulators.kit.provider import Provider, Trouble

MODIFIERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Taken(msgspec.Struct, frozen=True):
    """A file that was taken. kind: NACHA or PAIN. debit, credit: cents."""

    name: str
    kind: str
    entries: int
    debit: int
    credit: int


class Out(msgspec.Struct, frozen=True):
    """A file that goes back."""

    name: str
    content: str


class Due(msgspec.Struct, frozen=True):
    """What is to be said on a day, of the file that `header` (NACHA) or the message id (pain) names."""

    day: date
    header: str
    said: nacha.Answer | pain.Verdict


class Bank(Provider):
    """The simulator. Days are those of UTC; `POST /_sim/clock` lets them pass."""

    name = "bank"
    about = ABOUT

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.taken: dict[str, Taken] = {}
        self._due: list[Due] = []
        self._out: dict[str, Out] = {}
        self._sent: list[tuple[str, nacha.Entry]] = []
        self._numbers = itertools.count(1)
        self.routes = (
            Route("POST", "/files", self._post),
            Route("GET", "/files", self._list),
            Route("GET", "/files/{name}", self._show),
            Route("POST", "/test/returns", self._return, has_faults=False),
        )

    def take(self, content: str, name: str) -> Taken:
        """Read a file and book it. Raises Refused; a file that came before is refused too."""
        digest = hashlib.sha256(content.encode()).hexdigest()
        if digest in self.taken:
            raise Refused(f"this file was taken before, as {self.taken[digest].name}")
        is_xml = content.lstrip().startswith("<")
        taken = self._take_transfers(content, name) if is_xml else self._take_entries(content, name)
        self.taken[digest] = taken
        return taken

    def answers(self) -> list[Out]:
        """The files that go back until today, oldest first."""
        now = self._now()
        today = [due for due in self._due if due.day <= now.date()]
        self._due = [due for due in self._due if due.day > now.date()]
        for (_, header), group in itertools.groupby(sorted(today, key=_order), key=_order):
            self._answer(header, [due.said for due in group], now)
        return list(self._out.values())

    def speak(self, trouble: Trouble, request: Request) -> Answer:
        status = 400 if trouble is Trouble.KEY_REUSED else trouble.value
        return Answer(status, {"fault": trouble.name.lower()})

    def refuse(self, request: Request, violations: Sequence[Violation]) -> Answer:
        return Answer(400, {"fault": violations[0].message})

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now(), UTC)

    def _take_entries(self, content: str, name: str) -> Taken:
        header, entries = nacha.read(content)
        for entry in entries:
            kind = "credit" if entry.is_credit else "debit"
            self.books.record(kind, entry.account, entry.amount, "USD", at=self.clock.unix(), key=entry.trace)
            self._sent.append((header, entry))
            course = ACH.get(entry.account[-4:])
            if course is not None:
                self._plan(header, entry, course)
        debit = sum(entry.amount for entry in entries if not entry.is_credit)
        credit = sum(entry.amount for entry in entries if entry.is_credit)
        return Taken(name, "NACHA", len(entries), debit, credit)

    def _plan(self, header: str, entry: nacha.Entry, course: Course) -> None:
        day = after(entry.effective_on, course.days)
        self._due.append(Due(day, header, nacha.Answer(entry, course.code, course.data)))

    def _take_transfers(self, content: str, name: str) -> Taken:
        message_id, transfers = pain.read(content)
        for transfer in transfers:
            key = transfer.end_to_end_id
            self.books.record("transfer", transfer.iban, transfer.amount, "EUR", at=self.clock.unix(), key=key)
            course = SEPA.get(transfer.iban[-4:])
            day = after(transfer.execution_on, course.days if course else 0)
            verdict = pain.Verdict(transfer, "RJCT" if course else "ACSC", course.code if course else "")
            self._due.append(Due(day, message_id, verdict))
        return Taken(name, "PAIN", len(transfers), 0, sum(transfer.amount for transfer in transfers))

    def _answer(self, header: str, said: list[nacha.Answer | pain.Verdict], now: datetime) -> None:
        number = next(self._numbers)
        answers = [each for each in said if isinstance(each, nacha.Answer)]
        verdicts = [each for each in said if isinstance(each, pain.Verdict)]
        if answers:
            modifier = MODIFIERS[(number - 1) % len(MODIFIERS)]
            out = Out(f"answer-{number:06}.ach", nacha.write(header, answers, at=now, modifier=modifier))
        else:
            report_id = f"REPORT-{number:06}"
            out = Out(f"answer-{number:06}.xml", pain.write(header, verdicts, report_id=report_id, at=now))
        self._out[out.name] = out
        for answer in answers:
            if answer.code.startswith("R"):
                entry = answer.entry
                self.books.record(
                    "return", entry.account, entry.amount, "USD", at=int(now.timestamp()), key=entry.trace
                )
        for verdict in verdicts:
            if verdict.status == "RJCT":
                transfer = verdict.transfer
                at, key = int(now.timestamp()), transfer.end_to_end_id
                self.books.record("rejection", transfer.iban, transfer.amount, "EUR", at=at, key=key)

    def _post(self, request: Request) -> Answer:
        try:
            content, name = request.params["content"], request.params["name"]
            return Answer(202, msgspec.to_builtins(self.take(content, name)))
        except (Refused, ValueError, KeyError) as fault:
            raise Refusal(Answer(400, {"fault": str(fault)}), is_kept=False) from fault

    def _list(self, request: Request) -> Answer:
        return Answer(200, {"data": [{"name": out.name} for out in self.answers()]})

    def _show(self, request: Request) -> Answer:
        out = self._out.get(request.path_values["name"])
        if out is None:
            return self.speak(Trouble.NOT_FOUND, request)
        return Answer(200, msgspec.to_builtins(out))

    def _return(self, request: Request) -> Answer:
        """Somebody at the account's bank sends an entry back: {traceNumber, code, data?}; today."""
        asked: dict[str, Any] = request.params
        for header, entry in self._sent:
            if entry.trace == asked.get("traceNumber"):
                answer = nacha.Answer(entry, str(asked["code"]), str(asked.get("data", "")))
                self._due.append(Due(self._now().date(), header, answer))
                return Answer(202, {"traceNumber": entry.trace})
        return self.speak(Trouble.NOT_FOUND, request)


def provider(*, seed: int = 0) -> Bank:
    """A new bank with empty books."""
    return Bank(seed=seed)


def _order(due: Due) -> tuple[bool, str]:
    return isinstance(due.said, pain.Verdict), due.header
