"""The figures and what they have to be: a table, the ratios against their targets, and the same as JSON."""

import json
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Column, Table

from tests.bench.rounds import Measured

DISTURBANCE = ".others_percent"
DISTURBED_PERCENT = 10


class Goal(NamedTuple):
    """What a figure has to be. over: its ratio to the best of these, taken round by round; none: the figure itself."""

    says: str
    figure: str
    target: float
    aim: float | None = None
    over: tuple[str, ...] = ()
    is_at_most: bool = False


GOALS = (
    Goal("create / ordinary stack", "create.bursar.per_second", 15, 20, ("create.orm.per_second",)),
    Goal("create / pgbench by statement", "create.bursar.per_second", 1.2, 1.6, ("create.pgbench.per_second",)),
    Goal("add a card / create", "card.bursar.per_second", 0.3, None, ("create.bursar.per_second",)),
    Goal("webhook acknowledged / create", "webhook.bursar.per_second", 1.0, None, ("webhook.create.per_second",)),
    Goal("webhook p99, 32 connections, ms", "webhook.bursar.p99_ms", 50, is_at_most=True),
    Goal("payments' p99, consumer away / calm", "backlog.away.p99_ms", 1.2, None, ("backlog.calm.p99_ms",), True),
    Goal("backlog drained, s", "backlog.away.drained_seconds", 60, is_at_most=True),
    Goal(
        "commission / GET by id, the faster",
        "commission.calculate.per_second",
        0.8,
        None,
        ("commission.get.per_second", "commission.get_rule.per_second"),
    ),
    Goal(
        "the same, without explanation",
        "commission.amount.per_second",
        0.8,
        None,
        ("commission.get.per_second", "commission.get_rule.per_second"),
    ),
    Goal("commission p99, 32 connections, ms", "commission.calculate.p99_ms", 5, is_at_most=True),
    Goal("reconciliation of 10,000 rows, s", "reconciliation.file.seconds_max", 10, is_at_most=True),
    Goal("checkout / ordinary stack", "checkout.bursar.per_second", 15, 25, ("checkout.orm.per_second",)),
    Goal(
        "checkout / best of pgbench by statement",
        "checkout.bursar.per_second",
        1.7,
        None,
        ("checkout.pgbench8.per_second", "checkout.pgbench32.per_second"),
    ),
    Goal("checkout split between two / not", "split.two_vendors.per_second", 0.7, None, ("split.none.per_second",)),
    Goal("GET by id / ordinary stack", "get.bursar.per_second", 4, None, ("get.orm.per_second",)),
    Goal("create p99, 32 connections, ms", "create.bursar.p99_ms", 10, is_at_most=True),
    Goal("capture p99, 32 connections, ms", "checkout.bursar.capture_p99_ms", 20, is_at_most=True),
    Goal("create p50, 1 connection, ms", "single.bursar.p50_ms", 1.2, is_at_most=True),
    *(
        Goal(f"{says} while a provider hangs / calm", f"hang.{name}", 1.5, None, (f"hang.{calm}",), is_at_most=True)
        for says, name, calm in (
            ("GET p99", "get.p99_ms", "get_calm.p99_ms"),
            ("create p99", "checkout.create_p99_ms", "checkout_calm.create_p99_ms"),
            ("capture p99", "checkout.capture_p99_ms", "checkout_calm.capture_p99_ms"),
        )
    ),
    Goal("longest open transaction then, s", "hang.checkout.open_transaction_seconds_max", 1, is_at_most=True),
)

ROWS_GOALS = (
    Goal("create, filled / empty", "create.filled.per_second", 0.9, None, ("create.empty.per_second",)),
    Goal("GET by id, filled / empty", "get.filled.per_second", 0.9, None, ("get.empty.per_second",)),
    Goal("status page far / page 1, p50", "status.far.p50_ms", 1.5, None, ("status.first.p50_ms",), is_at_most=True),
    Goal(
        "customer page far / page 1, p50", "customer.far.p50_ms", 1.5, None, ("customer.first.p50_ms",), is_at_most=True
    ),
)


class Outcome(NamedTuple):
    """A goal as it was met. values: one a round."""

    goal: Goal
    values: list[float]

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool:
        return self.value <= self.goal.target if self.goal.is_at_most else self.value >= self.goal.target

    @property
    def is_aim_met(self) -> bool:
        return self.goal.aim is not None and self.value >= self.goal.aim


def outcomes(measured: Measured, goals: Sequence[Goal]) -> list[Outcome]:
    """The goals whose figures were measured."""
    found = []
    for goal in goals:
        if goal.figure in measured and all(name in measured for name in goal.over):
            values = measured[goal.figure]
            if goal.over:
                best = max(goal.over, key=lambda name: statistics.median(measured[name]))
                values = [value / other for value, other in zip(values, measured[best], strict=True)]
            found.append(Outcome(goal, values))
    return found


def show(console: Console, measured: Measured, found: Sequence[Outcome]) -> None:
    """Print the figures, then the goals."""
    figures = Table("figure", *(_right(name) for name in ("min", "median", "max")), title="figures over the rounds")
    group = ""
    for name in sorted(name for name in measured if not name.endswith(DISTURBANCE)):
        if group and name.rpartition(".")[0] != group:
            figures.add_section()
        group = name.rpartition(".")[0]
        values = measured[name]
        figures.add_row(name, *(_number(value) for value in (min(values), statistics.median(values), max(values))))
    console.print(figures)
    goals = Table(
        Column("goal", no_wrap=True), *(_right(name) for name in ("min", "median", "max", "target", "aim")), ""
    )
    for outcome in found:
        goal = outcome.goal
        sign = "≤" if goal.is_at_most else "≥"
        verdict = (
            "[bold green]aim[/]" if outcome.is_aim_met else "[green]pass[/]" if outcome.is_met else "[bold red]FAIL[/]"
        )
        goals.add_row(
            goal.says,
            *(_number(value) for value in (min(outcome.values), outcome.value, max(outcome.values))),
            f"{sign} {goal.target:g}",
            "" if goal.aim is None else f"{sign} {goal.aim:g}",
            verdict,
        )
    console.print(goals)
    others = [value for name, values in measured.items() if name.endswith(DISTURBANCE) for value in values]
    if others and max(others) > DISTURBED_PERCENT:
        console.print(
            f"[bold yellow]disturbed[/]: other processes took {statistics.median(others):.0f} % of the machine, "
            f"up to {max(others):.0f} % in one measurement; run it again on a quiet one"
        )


def write_json(path: Path, measured: Measured, found: Sequence[Outcome], options: dict[str, Any]) -> None:
    """Write all figures, round by round, and the goals."""
    document = {
        "machine": {"system": platform.platform(), "python": platform.python_version()},
        "options": options,
        "figures": measured,
        "goals": [
            {
                "goal": outcome.goal.says,
                "value": outcome.value,
                "values": outcome.values,
                "target": outcome.goal.target,
                "aim": outcome.goal.aim,
                "isMet": outcome.is_met,
            }
            for outcome in found
        ],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def _right(name: str) -> Column:
    return Column(name, justify="right")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:,.2f}"
