"""The contenders and what is measured of them, in rounds."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, NamedTuple

from tests.bench import backlog, commissions, documents, hang, hooks, machine, reconciliation
from tests.bench.load import CONNECTIONS, Figures, Pgbench, Wrk, write_ids
from tests.bench.machine import Machine

GROUPS = (
    *("create", "card", "checkout", "split", "get", "single", "hang"),
    *("webhook", "backlog", "commission", "reconciliation"),
)
FEW_CLIENTS = 8
ROWS_TO_BEGIN_WITH = 20_000
ACCOUNTS = """
insert into accounts (name, currency, kind, can_overdraw)
values ('provider:sandbox:clearing', 'EUR', 'ASSET', true), ('unallocated', 'EUR', 'LIABILITY', false)
"""


class Measure(NamedTuple):
    """One thing that is measured in every round. name: of its figures; run: takes seconds."""

    group: str
    name: str
    run: Callable[[float], Figures]


Measured = dict[str, list[float]]
"""Each figure's values, one a round; a name is `measure.figure`."""


def contenders(started: Machine, groups: Collection[str], say: Callable[[str], None]) -> list[Measure]:
    """Set up what `groups` need: Bursar (a), the ordinary stack (b), pgbench (c, d). Returns the measures in order."""
    say("making the databases and starting the service")
    url = started.database("bench_bursar", rows=ROWS_TO_BEGIN_WITH)
    base = started.bursar(url)
    program = machine.find_wrk()
    bursar = Wrk(program, started, base, "a")
    measures: list[Measure] = []
    if "single" in groups:
        measures.append(Measure("single", "single.bursar", partial(bursar.create, connections=1)))
    if "card" in groups:
        measures.append(Measure("card", "card.bursar", bursar.add_card))
    if {"create", "checkout"} & set(groups):
        measures += _pgbench(started, documents.sample(base, started.token, url), groups)
    if {"create", "checkout", "get"} & set(groups):
        orm_url = started.database("bench_orm", rows=ROWS_TO_BEGIN_WITH)
        orm = Wrk(program, started, started.ordinary_stack(orm_url), "b")
        for name, wrk, its_url in (("bursar", bursar, url), ("orm", orm, orm_url)):
            ids = write_ids(its_url, started.directory / f"{name}-ids")
            measures += [
                Measure("create", f"create.{name}", wrk.create),
                Measure("checkout", f"checkout.{name}", wrk.checkout),
                Measure("get", f"get.{name}", partial(wrk.read, ids=ids)),
            ]
    if "split" in groups:
        measures += _splits(started, program)
    if "webhook" in groups:
        measures += _webhooks(started, program)
    if "backlog" in groups:
        measures += _backlog(started)
    if "commission" in groups:
        measures += _commissions(started, program)
    if "reconciliation" in groups:
        measures.append(_reconciliation(started))
    if "hang" in groups:
        measures += _hanging(started, program)
    measures.sort(key=lambda measure: (GROUPS.index(measure.group), measure.name))
    return [measure for measure in measures if measure.group in groups]


def _webhooks(started: Machine, program: str) -> list[Measure]:
    """Webhooks acknowledged, beside payments created, by one service; all are processed before the next is measured."""
    url = started.database("bench_webhooks", rows=ROWS_TO_BEGIN_WITH)
    base = started.bursar(url, {"WEBHOOK_SECRETS": str(hooks.write_secrets(started.directory))})
    wrk = Wrk(program, started, base, "w")
    brought = hooks.Hooks(url, base, wrk, started.directory)
    return [
        Measure("webhook", "webhook.bursar", brought.receive),
        Measure("webhook", "webhook.create", wrk.create),
    ]


def _backlog(started: Machine) -> list[Measure]:
    """Payments while their consumer is away, beside payments that are told to nobody."""
    url = started.database("bench_backlog", rows=ROWS_TO_BEGIN_WITH)
    base = started.bursar(url, {"DELIVERY_PRIVATE_NETWORKS": "true", "RATE_LIMIT_PER_SECOND": "0"})
    consumer = backlog.Consumer(base, started.token, started.token_of("admin"))
    return [
        Measure("backlog", "backlog.calm", consumer.calm),
        Measure("backlog", "backlog.away", consumer.away),
    ]


def _splits(started: Machine, program: str) -> list[Measure]:
    """Checkouts whose captures allocate to two vendors, by 10,000 commission rules, beside checkouts without splits."""
    url = started.database("bench_splits", rows=ROWS_TO_BEGIN_WITH)
    commissions.fill(url)
    wrk = Wrk(program, started, started.bursar(url), "s")
    return [
        Measure("split", "split.two_vendors", partial(wrk.checkout, vendors=commissions.VENDORS)),
        Measure("split", "split.none", wrk.checkout),
    ]


def _commissions(started: Machine, program: str) -> list[Measure]:
    """Commissions by 10,000 active rules, beside reads by id, of rules and of payments, from the same service."""
    url = started.database("bench_commissions", rows=ROWS_TO_BEGIN_WITH)
    commissions.fill(url)
    wrk = Wrk(program, started, started.bursar(url), "k")
    calculations, amounts, rules = commissions.write_paths(started.directory)
    ids = write_ids(url, started.directory / "commission-ids")
    return [
        Measure("commission", "commission.calculate", partial(wrk.ask, paths=calculations)),
        Measure("commission", "commission.amount", partial(wrk.ask, paths=amounts)),
        Measure("commission", "commission.get", partial(wrk.read, ids=ids)),
        Measure("commission", "commission.get_rule", partial(wrk.ask, paths=rules)),
    ]


def _reconciliation(started: Machine) -> Measure:
    """Settlement files of 10,000 rows with forty differences, from the upload until they are reconciled."""
    url = started.database("bench_reconciliation")
    files = reconciliation.Files(url, started.bursar(url, reconciliation.SETTINGS), started.token)
    return Measure("reconciliation", "reconciliation.file", files.reconcile)


def _hanging(started: Machine, program: str) -> list[Measure]:
    """Reads, and checkouts through a provider that answers, while some customers pay through one that hangs; beside it
    the same while those customers pay through one that answers.
    """
    url = started.database("bench_hang", rows=ROWS_TO_BEGIN_WITH)
    base = started.bursar(url, started.stack.enter_context(hang.provider()).settings)
    wrk = Wrk(program, started, base, "h")
    ids = write_ids(url, started.directory / "hang-ids")
    customers = hang.Customers(base, started.token, url)

    def while_paid_through(provider: str, run: Callable[[float], Figures], seconds: float) -> Figures:
        with customers.paid_through(provider):
            figures = run(seconds)
        return {**figures, **customers.figures()}

    kinds: dict[str, Callable[[float], Figures]] = {"get": partial(wrk.read, ids=ids), "checkout": wrk.checkout}
    return [
        measure
        for kind, run in kinds.items()
        for measure in (
            Measure("hang", f"hang.{kind}_calm", partial(while_paid_through, "sandbox", run)),
            Measure("hang", f"hang.{kind}", partial(while_paid_through, "stripe", run)),
        )
    ]


def _pgbench(started: Machine, sampled: dict[str, str], groups: Collection[str]) -> list[Measure]:
    measures: list[Measure] = []
    if "create" in groups:
        creates = Pgbench(started, started.database("bench_pgbench_create", rows=ROWS_TO_BEGIN_WITH), sampled)
        measures.append(Measure("create", "create.pgbench", creates.create))
    if "checkout" in groups:
        url = started.database("bench_pgbench_checkout", rows=ROWS_TO_BEGIN_WITH)
        asyncio.run(machine.run_sql(url, ACCOUNTS))
        checkouts = Pgbench(started, url, sampled)
        measures += [
            Measure(
                "checkout",
                f"checkout.pgbench{clients}",
                partial(checkouts.checkout, clients=clients),
            )
            for clients in (FEW_CLIENTS, CONNECTIONS)
        ]
    return measures


def run(
    started: Machine,
    measures: Sequence[Measure],
    *,
    rounds: int,
    seconds: float,
    warm_up_seconds: float,
    say: Callable[[str], None],
) -> Measured:
    """Warm every measure up once, then run the rounds; every other round goes backwards within a group."""
    for measure in measures:
        say(f"warming up {measure.name}")
        measure.run(warm_up_seconds)
    measured: Measured = {}
    for number in range(rounds):
        for measure in _in_order(measures, number):
            started.rest()
            before = machine.usage()
            figures = measure.run(seconds)
            after = machine.usage()
            if before is not None and after is not None:
                figures["others_percent"] = after.others_share(before) * 100
            line = f"round {number + 1}/{rounds}  {measure.name:<20} {figures['per_second']:>10,.0f} a second"
            say(f"{line}   others took {figures.get('others_percent', 0):3.0f} % of the machine")
            for name, value in figures.items():
                measured.setdefault(f"{measure.name}.{name}", []).append(value)
    return measured


def _in_order(measures: Sequence[Measure], number: int) -> list[Measure]:
    groups = sorted({measure.group for measure in measures}, key=GROUPS.index)
    ordered: list[Measure] = []
    for group in groups:
        members = [measure for measure in measures if measure.group == group]
        ordered += members if number % 2 == 0 else members[::-1]
    return ordered


class Clock:
    """Tells what goes on, with the seconds since the start."""

    def __init__(self, console: Any) -> None:
        self._console = console
        self._started = time.monotonic()

    def __call__(self, line: str) -> None:
        self._console.print(f"[dim]{time.monotonic() - self._started:6.0f} s[/]  {line}", highlight=False)
