"""Running a load and reading its result.

Rates are wrk's and pgbench's own. Latencies of a load of one kind (create, GET) are wrk's, which correct for
coordinated omission: an answer that took long stands for the requests that its connection could not send meanwhile, so
these p99 err on the high side. Under checkouts wrk sees one mixture only, so there the load's Lua times each request by
itself with the monotonic clock, by kind, from handing it to wrk to having its whole answer: the client's view too,
uncorrected. The service's own histogram (/metrics) is coarser, and blind to the time a request waits in the socket.
"""

import asyncio
import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from signal import SIGKILL
from typing import Any

from bursar.infra.death import die_with_parent
from tests.bench import machine
from tests.bench.machine import Machine, fail

HERE = Path(__file__).parent
CONNECTIONS = 32
TIMEOUT_SECONDS = 20
IDS = 20_000

Figures = dict[str, float]


class Wrk:
    """Drives one service over HTTP. name: how its keys and orders begin, so that no two runs share any."""

    _runs = 0

    def __init__(self, program: str, started: Machine, base: str, name: str) -> None:
        self._program = program
        self._machine = started
        self._base = base
        self._name = name

    def create(self, seconds: float, *, connections: int = CONNECTIONS) -> Figures:
        """Payments a second, and how long each took."""
        result = self._run("create", seconds, connections)
        return _of_one_kind(result)

    def add_card(self, seconds: float) -> Figures:
        """Cards added a second, and how long each took."""
        return _of_one_kind(self._run("card", seconds, CONNECTIONS))

    def webhook(self, seconds: float, requests: Path) -> Figures:
        """Webhooks acknowledged a second, and how long each took. requests: a file of them, signed."""
        return _of_one_kind(self._run("webhook", seconds, CONNECTIONS, str(requests)))

    def read(self, seconds: float, ids: Path) -> Figures:
        """Reads by id a second, and how long each took. ids: a file of ids, one a line."""
        return _of_one_kind(self._run("get", seconds, CONNECTIONS, str(ids)))

    def ask(self, seconds: float, paths: Path) -> Figures:
        """Answers a second, and how long each took. paths: a file of paths to ask for, one a line."""
        return _of_one_kind(self._run("ask", seconds, CONNECTIONS, str(paths)))

    def checkout(self, seconds: float, *, vendors: int = 0) -> Figures:
        """Checkouts a second, and how long each kind of request took. vendors: each payment is split between two of so
        many; 0: none is.
        """
        path = self._machine.directory / "times"
        result = self._run("checkout", seconds, CONNECTIONS, str(path), str(vendors))
        figures = {"per_second": result["completed"] / result["micros"] * 1e6}
        times: dict[str, list[int]] = {}
        for line in path.read_text().splitlines():
            kind, micros = line.split()
            times.setdefault(kind, []).append(int(micros))
        for kind, taken in times.items():
            taken.sort()
            figures[f"{kind}_p50_ms"] = taken[len(taken) // 2] / 1e3
            figures[f"{kind}_p99_ms"] = taken[len(taken) * 99 // 100] / 1e3
        return figures

    def _run(self, script: str, seconds: float, connections: int, *rest: str) -> dict[str, Any]:
        Wrk._runs += 1
        prefix = f"{self._name}{Wrk._runs:03}"
        output = run(
            [
                *(self._program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"),
                *("--timeout", f"{TIMEOUT_SECONDS}s", "-s", str(HERE / "load" / f"{script}.lua"), self._base, "--"),
                *(self._machine.token, prefix, str(Wrk._runs), *rest),
            ]
        )
        found = re.search(r"^RESULT (.*)$", output, re.MULTILINE)
        if found is None:
            fail(f"wrk said nothing of use:\n{output}")
        result: dict[str, Any] = json.loads(found.group(1))
        if any(result["faults"].values()) or not result["requests"]:
            fail(f"{script} on {self._base}: not every request was answered as it should be:\n{output}")
        return result


def _of_one_kind(result: dict[str, Any]) -> Figures:
    return {
        "per_second": result["requests"] / result["micros"] * 1e6,
        "p50_ms": result["p50"] / 1e3,
        "p99_ms": result["p99"] / 1e3,
    }


class Pgbench:
    """Runs the SQL of creates or checkouts with no application around it. documents: what an application would send."""

    def __init__(self, started: Machine, url: str, documents: dict[str, str]) -> None:
        self._program = started.pgbench
        self._url = url
        self._documents = documents
        create = (HERE / "peers" / "create.sql").read_text()
        self._scripts = {"create": create, "checkout": create + (HERE / "peers" / "checkout.sql").read_text()}
        self._directory = started.directory

    def create(self, seconds: float, *, clients: int = CONNECTIONS) -> Figures:
        """Payments a second."""
        return self._run("create", clients, "-T", str(max(1, round(seconds))))

    def checkout(self, seconds: float, *, clients: int = CONNECTIONS) -> Figures:
        """Checkouts a second."""
        return self._run("checkout", clients, "-T", str(max(1, round(seconds))))

    def once(self, script: str) -> None:
        """Run a script one time."""
        self._run(script, 1, "-t", "1")

    def _run(self, script: str, clients: int, *duration: str) -> Figures:
        path = self._directory / f"{script}.sql"
        path.write_text(self._scripts[script])
        documents = [f"-D{name}={text}" for name, text in self._documents.items()]
        threads = min(2, clients)
        output = run(
            [
                *(self._program, "-n", "-M", "prepared", "-c", str(clients), "-j", str(threads), *duration),
                *("-f", str(path), *documents, self._url),
            ]
        )
        rate, failed = re.search(r"^tps = ([\d.]+)", output, re.MULTILINE), re.search(r"failed.*: (\d+) ", output)
        if rate is None or failed is None or failed.group(1) != "0" or "aborted" in output:
            fail(f"pgbench of {script} failed:\n{output[-2_000:]}")
        return {"per_second": float(rate.group(1))}


def run(command: Sequence[str]) -> str:
    """Run a program to its end and return what it said; it ends with us, however that happens."""
    process = subprocess.Popen(
        list(command),
        env=machine.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=die_with_parent(SIGKILL),  # noqa: PLW1509 - started from the main thread only
    )
    try:
        output, _ = process.communicate()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return output


def write_ids(url: str, path: Path) -> Path:
    """Write a file of payment ids spread over the whole table."""
    rows = asyncio.run(machine.fetch(url, "select id::text from payments order by id"))
    step = max(1, len(rows) // IDS)
    path.write_text("".join(row["id"] + "\n" for row in rows[::step]))
    return path
