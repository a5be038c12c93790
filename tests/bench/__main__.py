"""`script/bench`: measure the service beside its peers, and hold the ratios against their targets."""

import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from tests.bench import machine, report, rounds, rows

QUICK_ROUNDS, QUICK_SECONDS, QUICK_WARM_UP_SECONDS = 2, 2.0, 1.0
WARM_UP_SECONDS = 5.0
WIDTH_MIN = 110


def main(
    only: Annotated[str, typer.Option(help=f"Of {', '.join(rounds.GROUPS)}; comma-separated.")] = "",
    rounds_count: Annotated[int, typer.Option("--rounds", help="How often everything is measured.")] = 3,
    seconds: Annotated[float, typer.Option(help="For how long each time.")] = 6.0,
    quick: Annotated[bool, typer.Option("--quick", help="In about a minute, and rougher.")] = False,
    rows_count: Annotated[
        int,
        typer.Option("--rows", help="Instead: compare a table of so many payments with a small one, and page in it."),
    ] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
) -> None:
    """Measure Bursar as shipped (a) beside FastAPI with SQLAlchemy (b) and pgbench creating (c) and checking out (d).

    All of it runs on this machine in one go, in turns: only the ratios of one run mean anything.
    """
    groups = tuple(name.strip() for name in only.split(",")) if only else rounds.GROUPS
    if unknown := set(groups) - set(rounds.GROUPS):
        machine.fail(f"--only knows {', '.join(rounds.GROUPS)}, not {', '.join(sorted(unknown))}")
    warm_up_seconds = WARM_UP_SECONDS
    if quick:
        rounds_count, seconds, warm_up_seconds = QUICK_ROUNDS, QUICK_SECONDS, QUICK_WARM_UP_SECONDS
    machine.find_wrk()
    signal.signal(signal.SIGTERM, _stop)
    console = Console(width=max(WIDTH_MIN, Console().width))
    say = rounds.Clock(console)
    timing: dict[str, Any] = {"seconds": seconds, "warm_up_seconds": warm_up_seconds, "say": say}
    with machine.started() as started:
        if rows_count:
            measured = rows.measure(started, rows_count, rounds_count=rounds_count, **timing)
        else:
            measured = rounds.run(started, rounds.contenders(started, groups, say), rounds=rounds_count, **timing)
        say("done; stopping what was started")
    found = report.outcomes(measured, report.ROWS_GOALS if rows_count else report.GOALS)
    report.show(console, measured, found)
    if json_file is not None:
        options = {"rounds": rounds_count, "seconds": seconds, "rows": rows_count, "only": groups}
        report.write_json(json_file, measured, found, options)
    if not all(outcome.is_met for outcome in found):
        sys.exit(1)


def _stop(number: int, frame: object) -> NoReturn:
    """SIGTERM ends the run as Ctrl-C does: with everything that was started."""
    sys.exit(128 + number)


if __name__ == "__main__":
    typer.run(main)
