"""The command line, as real processes: what it says, and how it ends."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bursar import wiring
from bursar.infra.embedded.postmaster import read_pid_file
from tests.crash.harness import SOURCE, say
from tests.infra.processes import is_alive, wait_until
from tests.support.api import CORE
from tests.support.ports import free_port

READY_SECONDS_MAX = 90
WARM_START_SECONDS_MAX = 4
WARM_STARTS_MAX = 5
STOP_SECONDS_MAX = 45


def environment(**settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
    return {**inherited, "PYTHONPATH": str(SOURCE), **settings}


def bursar(*arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "bursar", *map(str, arguments)],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def line_of(answer: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that ended with 1 for a reason that a person can mend."""
    assert answer.returncode == 1, answer
    assert answer.stderr.count("\n") == 1 and answer.stderr.startswith("bursar: "), answer.stderr
    return answer.stderr


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory that every user may enter: as root, PostgreSQL runs as another one."""
    directory = Path(tempfile.mkdtemp(prefix="bursar-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


class Serve:
    """`bursar serve` while a test looks at it. What it prints goes to a file."""

    def __init__(self, data_dir: Path, port: int, **settings: str) -> None:
        self.data_dir = data_dir
        self.port = port
        self.log = data_dir.with_name(f"{data_dir.name}-{port}.log")
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bursar", "serve", "--port", str(port), "--data-dir", str(data_dir)],
                env=environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    def said(self) -> str:
        return self.log.read_text()

    def call(self, path: str, token: str = "", body: Any = None) -> tuple[int, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.said()
        try:
            return self.call("/readyz")[0] == 200
        except OSError:
            return False

    def greets(self) -> bool:
        assert self.process.poll() is None, self.said()
        return "Ctrl-C stops all of it." in self.said()

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS_MAX)


Start = Callable[..., Serve]


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """Starts `serve` on `name` in the test's directory; ends what is left."""
    started: list[Serve] = []

    def run(name: str = "data", *, port: int | None = None, **settings: str) -> Serve:
        started.append(Serve(root / name, port or free_port(), **settings))
        return started[-1]

    yield run
    for served in started:
        served.end()


class TestServe:
    def test_greets_serves_and_stops_all_of_it_on_sigterm(self, start: Start, root: Path) -> None:
        served = start("data with spaces, and an ümlaut")
        wait_until(served.greets, READY_SECONDS_MAX)
        assert f"Bursar listens on http://127.0.0.1:{served.port} " in served.said()
        token = next(line for line in served.said().splitlines() if "TOKEN=" in line).partition("=")[2]
        body = {"orderId": "order-1", "customerId": "customer-1", "amount": 1999, "currency": "EUR"}
        status, payment = served.call(CORE, token, body)
        assert (status, payment["status"]) == (201, "PENDING")
        postmaster = read_pid_file(served.data_dir / "postgresql" / "cluster")
        assert postmaster is not None and is_alive(postmaster.pid)

        began = time.monotonic()
        assert served.end() == 0
        say(f"stopped in {time.monotonic() - began:.1f} s")
        assert not is_alive(postmaster.pid)
        assert "Warning" not in served.said() and "Traceback" not in served.said()

        for _ in range(WARM_STARTS_MAX):  # what else runs on this machine may hold some of them up
            began = time.monotonic()
            again = start(served.data_dir.name)
            wait_until(again.is_ready, READY_SECONDS_MAX)
            seconds = time.monotonic() - began
            say(f"warm start to /readyz in {seconds:.1f} s")
            if seconds <= WARM_START_SECONDS_MAX:
                break
            assert again.end() == 0
        assert seconds <= WARM_START_SECONDS_MAX
        assert again.call(f"{CORE}/{payment['id']}", token)[1] == payment

    def test_stops_on_ctrl_c_too(self, start: Start) -> None:
        served = start()
        wait_until(served.greets, READY_SECONDS_MAX)
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(STOP_SECONDS_MAX) == 0

    def test_says_that_its_port_is_in_use(self, root: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            line = line_of(bursar("serve", "--port", str(port), "--data-dir", root / "data"))
        assert f"port {port} on 127.0.0.1 cannot be used" in line
        assert not (root / "data" / "postgresql").exists()

    def test_says_that_the_database_cannot_be_reached(self, root: Path) -> None:
        url = f"postgresql://someone:secret@127.0.0.1:{free_port()}/bursar"
        for command in (["serve", "--port", str(free_port())], ["migrate"], ["ledger", "verify"], ["events", "replay"]):
            line = line_of(bursar(*command, "--data-dir", root / "data", BURSAR_DATABASE_URL=url))
            assert "cannot be reached" in line and "secret" not in line

    def test_says_that_the_data_are_too_old_or_too_new(self, root: Path) -> None:
        cluster = root / "data" / "postgresql" / "cluster"
        cluster.mkdir(parents=True)
        (cluster / "PG_VERSION").write_text("14\n")
        line = line_of(bursar("serve", "--port", str(free_port()), "--data-dir", root / "data"))
        assert "made by PostgreSQL 14" in line

    async def test_says_that_a_newer_bursar_migrated_the_database(self, database_url: str, root: Path) -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute("insert into migrations (name, digest) values ('9999_future.sql', '')")
        await connection.close()
        settings = {"BURSAR_DATABASE_URL": database_url}
        line = line_of(bursar("serve", "--port", str(free_port()), "--data-dir", root / "data", **settings))
        assert "migrated by a newer Bursar: 9999_future.sql" in line

    def test_says_that_the_database_is_not_migrated(self, root: Path) -> None:
        for command in (["ledger", "verify"], ["events", "replay"]):
            assert "`bursar migrate` makes it so" in line_of(bursar(*command, "--data-dir", root / "data"))
        assert bursar("migrate", "--data-dir", root / "data").stdout.startswith("applied: 0001_")
        assert bursar("migrate", "--data-dir", root / "data").stdout == "nothing to apply\n"
        assert "ledger verified: 0 journals" in bursar("ledger", "verify", "--data-dir", root / "data").stdout

    def test_says_which_setting_cannot_be_read(self) -> None:
        assert "BURSAR_" in line_of(bursar("serve", BURSAR_PORT="eight thousand"))
        line_of(bursar("serve", "--port", "70000"))

    def test_two_at_once_on_one_directory_leave_one(self, start: Start) -> None:
        both = [start(), start()]

        def is_decided() -> bool:
            return sorted(one.process.poll() is None for one in both) == [False, True]

        wait_until(is_decided, READY_SECONDS_MAX)
        lost, won = sorted(both, key=lambda one: one.process.poll() is None)
        assert lost.process.returncode == 1
        assert lost.said().count("\n") == 1
        assert f"is in use by process {won.process.pid}" in lost.said()
        wait_until(won.is_ready, READY_SECONDS_MAX)


class TestDemo:
    def test_drives_a_service_of_its_own_then_one_that_runs(self, start: Start, root: Path) -> None:
        alone = bursar("demo", "--limit", "30", "--data-dir", root / "data")
        assert alone.returncode == 0, alone.stdout + alone.stderr
        assert alone.stderr == ""
        assert "30 orders" in alone.stdout and "ledger verified" in alone.stdout
        served = start()
        wait_until(served.is_ready, READY_SECONDS_MAX)
        port = str(served.port)
        beside = bursar("demo", "--limit", "30", "--data-dir", root / "data", BURSAR_PORT=port)
        assert beside.returncode == 0, beside.stdout + beside.stderr
        assert f"on http://127.0.0.1:{port}" in beside.stdout
        for proof in (["ledger", "verify"], ["events", "replay"]):
            assert bursar(*proof, "--data-dir", root / "data").returncode == 0

    @pytest.mark.parametrize(
        "row, reason",
        [
            ("o-1,c-1,v-1,12.50,EUR,books,pm_sandbox_visa,complete", "amount is '12.50'"),
            ("o-1,c-1,v-1,0,EUR,books,pm_sandbox_visa,complete", "amount is '0'"),
            ("o-1,c-1,v-1:5;v-2:6,12,EUR,books,pm_sandbox_visa,complete", "the shares sum to 11, the amount is 12"),
            ("o-1,c-1,v-1,12,EURO,books,pm_sandbox_visa,complete", "currency 'EURO'"),
            ("o-1,c-1,v-1,12,EUR,books,visa,complete", "method 'visa'"),
            ("o-1,c-1,v-1,12,EUR,books,pm_sandbox_visa,forget", "course 'forget'"),
            ("o-1,c 1,v-1,12,EUR,books,pm_sandbox_visa,complete", "customer_id 'c 1'"),
            ("o-1,c-1,v-1,12", "4 columns, 8 are needed"),
        ],
    )
    def test_names_the_line_that_it_cannot_read(self, root: Path, row: str, reason: str) -> None:
        orders = root / "orders.csv"
        good = "o-0,c-1,v-1,12,EUR,books,pm_sandbox_visa,complete"
        orders.write_text(f"order_id,customer_id,vendors,amount,currency,category,method,course\n{good}\n{row}\n")
        line = line_of(bursar("demo", "--orders", orders, "--data-dir", root / "data"))
        assert "orders.csv line 3: " in line and reason in line
        assert not (root / "data" / "postgresql").exists()

    def test_says_that_a_file_cannot_be_read(self, root: Path) -> None:
        assert "cannot be read" in line_of(bursar("demo", "--orders", root / "none.csv", "--data-dir", root / "data"))
        (root / "other.csv").write_text("a,b\n1,2\n")
        line = line_of(bursar("demo", "--orders", root / "other.csv", "--data-dir", root / "data"))
        assert "other.csv line 1: the columns have to be order_id," in line


class TestOthers:
    def test_token_prints_the_bare_token_last(self, root: Path) -> None:
        answer = bursar("token", "--roles", "customer", "--customer-id", "customer-1", "--data-dir", root / "data")
        assert answer.returncode == 0
        token = answer.stdout.splitlines()[-1]
        assert token.count(".") == 2 and " " not in token
        assert "there is no role boss" in line_of(bursar("token", "--roles", "boss", "--data-dir", root / "data"))

    def test_states_draws_every_machine(self) -> None:
        answer = bursar("states")
        assert answer.returncode == 0
        assert answer.stdout.count("stateDiagram-v2") == len(wiring.MACHINES)
        assert "PENDING --> AUTHORIZING: authorize" in answer.stdout

    def test_openapi_prints_the_document(self) -> None:
        answer = bursar("openapi")
        assert answer.returncode == 0
        document = json.loads(answer.stdout)
        assert document["openapi"].startswith("3.1") and CORE in document["paths"]

    def test_without_a_command_shows_what_there_is(self) -> None:
        answer = bursar()
        assert "serve" in answer.stdout + answer.stderr and "demo" in answer.stdout + answer.stderr
