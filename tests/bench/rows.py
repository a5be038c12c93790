"""The same service on a table of ten million payments and on a small one; and paging, near and far."""

import http.client
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

from tests.bench import machine, rounds
from tests.bench.documents import PATH
from tests.bench.fill import MARKETPLACE
from tests.bench.load import Wrk, write_ids
from tests.bench.machine import Machine
from tests.bench.rounds import Measure, Measured

PAGE_FAR = 1_000
REPEATS = 50
LISTS = {"status": f"{PATH}/status/COMPLETED", "customer": f"{PATH}/customer/{MARKETPLACE}"}


def measure(
    started: Machine,
    rows: int,
    *,
    rounds_count: int,
    seconds: float,
    warm_up_seconds: float,
    say: Callable[[str], None],
) -> Measured:
    """Create and GET on `rows` payments and on few, in rounds; then paging on `rows`."""
    program = machine.find_wrk()
    measures: list[Measure] = []
    bases: dict[str, str] = {}
    for name, count in (("empty", rounds.ROWS_TO_BEGIN_WITH), ("filled", rows)):
        say(f"filling {count:,} payments")
        url = started.database(f"bench_{name}", rows=count)
        bases[name] = started.bursar(url)
        wrk = Wrk(program, started, bases[name], name[0])
        ids = write_ids(url, started.directory / f"{name}-ids")
        measures += [
            Measure("create", f"create.{name}", wrk.create),
            Measure("get", f"get.{name}", partial(wrk.read, ids=ids)),
        ]
    measures.sort(key=lambda measure: (measure.group, measure.name))
    measured = rounds.run(
        started, measures, rounds=rounds_count, seconds=seconds, warm_up_seconds=warm_up_seconds, say=say
    )
    for name, path in LISTS.items():
        started.rest()
        for _ in range(rounds_count):
            for figure, value in _page(bases["filled"], started.token, path, say).items():
                measured.setdefault(f"{name}.{figure}", []).append(value)
    return measured


def _page(base: str, token: str, path: str, say: Callable[[str], None]) -> dict[str, float]:
    """The p50 of page 1 and of a far page, asked for in turns."""
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    try:
        cursor, number = "", 1
        while number < PAGE_FAR:
            following = _ask(connection, path, token, cursor)[1]
            if following is None:
                break
            cursor, number = following, number + 1
        near, far = [], []
        for _ in range(REPEATS):
            near.append(_ask(connection, path, token, "")[0])
            far.append(_ask(connection, path, token, cursor)[0])
    finally:
        connection.close()
    figures = {"first.p50_ms": statistics.median(near) * 1e3, "far.p50_ms": statistics.median(far) * 1e3}
    say(f"{path}: page 1 {figures['first.p50_ms']:.2f} ms, page {number:,} {figures['far.p50_ms']:.2f} ms")
    return figures


def _ask(connection: http.client.HTTPConnection, path: str, token: str, cursor: str) -> tuple[float, str | None]:
    """Seconds that a page took, and the cursor of the next."""
    started = time.perf_counter()
    address = f"{path}?cursor={cursor}" if cursor else path
    connection.request("GET", address, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    body = answer.read()
    taken = time.perf_counter() - started
    if answer.status != 200:
        machine.fail(f"{address} answered {answer.status}: {body[:500]!r}")
    following: str | None = json.loads(body)["nextCursor"]
    return taken, following
