"""What a run needs, started and ended with it: PostgreSQL, databases, the service as shipped, its peer, wrk."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any, NamedTuple, NoReturn

import asyncpg

from bursar.infra import embedded
from bursar.infra.death import die_with_parent
from bursar.infra.migrate import migrate
from bursar.settings import Settings
from tests.bench import fill
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20
REST_SECONDS_MAX = 8
REST_LOOK_SECONDS = 0.4
REST_SHARE = 0.08
"""Of one core: below it, what we started counts as at rest."""

ROLE = Settings().database_role
VAULT_ROLE = Settings().vault_role
SETTINGS = "BURSAR_"


class Machine:
    """A running PostgreSQL and whatever was started on it. Made by `started`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.stack = ExitStack()
        self.data_dir = directory / "data"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._server = embedded.start(self.data_dir)
        self.token = self.token_of("service")

    def token_of(self, role: str) -> str:
        """A token of a caller with that role."""
        command = [sys.executable, "-m", "bursar", "token", "--roles", role, "--data-dir", str(self.data_dir)]
        finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment(), cwd=ROOT)
        return finished.stdout.splitlines()[-1]

    def database(self, name: str, *, rows: int = 0) -> str:
        """Make a database with Bursar's tables, and `rows` payments of the past year in it. Returns its URL."""
        asyncio.run(run_sql(self._server.url, f"create database {name}"))
        url = self._server.url.rpartition("/")[0] + "/" + name
        asyncio.run(migrate(url, role=ROLE, vault_role=VAULT_ROLE))
        if rows:
            asyncio.run(fill.fill(url, rows))
        return url

    def bursar(self, url: str, settings: dict[str, str] | None = None) -> str:
        """Start the service as shipped, everything switched on, on the database at `url`. settings: by their names
        without BURSAR_. Returns its address.
        """
        port = free_port()
        data_dir = self.directory / f"bursar-{port}"
        shutil.copytree(self.data_dir / "keys", data_dir / "keys")
        command = [sys.executable, "-m", "bursar", "serve", "--port", str(port), "--data-dir", str(data_dir)]
        named = {SETTINGS + name: value for name, value in (settings or {}).items()}
        return self._serve(command, port, {SETTINGS + "DATABASE_URL": url, **named})

    def ordinary_stack(self, url: str) -> str:
        """Start FastAPI with SQLAlchemy on the database at `url`. Returns its address."""
        port = free_port()
        jwks = self.data_dir / "keys" / "token.jwks"
        command = [
            sys.executable,
            "-m",
            "tests.bench.peers.orm",
            "--port",
            str(port),
            "--url",
            url,
            "--jwks",
            str(jwks),
        ]
        return self._serve(command, port, {})

    @property
    def pgbench(self) -> str:
        return str(self._server.bin_dir / "pgbench")

    def rest(self) -> None:
        """Write everything out and wait until what we started has caught up, so that all measured runs begin alike."""
        asyncio.run(run_sql(self._server.url, "checkpoint"))
        deadline = time.monotonic() + REST_SECONDS_MAX
        while time.monotonic() < deadline:
            before = usage()
            time.sleep(REST_LOOK_SECONDS)
            after = usage()
            if before is None or after is None:
                time.sleep(1)
                return
            if after.ours - before.ours < REST_SHARE * REST_LOOK_SECONDS:
                return

    def stop(self) -> None:
        """End all that was started, the latest first."""
        for process in reversed(self._processes):
            if process.poll() is None:
                process.send_signal(SIGTERM)
        for process in reversed(self._processes):
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.send_signal(SIGKILL)
                process.wait()
        self.stack.close()
        self._server.stop()

    def _serve(self, command: Sequence[str], port: int, settings: dict[str, str]) -> str:
        log = self.directory / f"{port}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment() | settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the terminal's Ctrl-C is for us, who end the rest
                preexec_fn=die_with_parent(SIGTERM),  # noqa: PLW1509 - started from the main thread only
            )
        self._processes.append(process)
        base = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not _answers(base + "/readyz"):
            if process.poll() is not None or time.monotonic() > deadline:
                fail(f"{' '.join(command[2:4])} did not start:\n{log.read_text()[-2_000:]}")
            time.sleep(0.1)
        return base


@contextmanager
def started() -> Iterator[Machine]:
    """A machine for the time of a `with`; call it in the main thread."""
    directory = Path(tempfile.mkdtemp(prefix="bursar-bench-"))
    directory.chmod(0o755)
    try:
        machine = Machine(directory)
        try:
            yield machine
        finally:
            machine.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def environment() -> dict[str, str]:
    """The environment for what we start: ours, without settings of Bursar that the caller may have made."""
    return {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}


def find_wrk() -> str:
    """The path of wrk; installed by apt where it is missing and we may. Ends the run with one line otherwise."""
    if shutil.which("wrk") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["apt-get", "install", "-y", "-qq", "wrk"], ["apt-get", "update", "-qq"]) * 2:
            subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if shutil.which("wrk"):
                break
    found = shutil.which("wrk")
    if found is None:
        fail("wrk is not installed (Debian: apt-get install wrk)")
    return found


def fail(line: str) -> NoReturn:
    """End the run with one line."""
    raise SystemExit(f"bench: {line}")


async def run_sql(url: str, *statements: str) -> None:
    """Run statements, each by itself."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def fetch(url: str, sql: str, *args: Any) -> list[Any]:
    """The rows of a query."""
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(sql, *args))
    finally:
        await connection.close()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Usage(NamedTuple):
    """Processor seconds so far: of the whole machine, and of what we started; `at` is when."""

    at: float
    machine: float
    ours: float

    def others_share(self, since: "Usage") -> float:
        """What other processes took of the machine since then, 0 to 1: above a few hundredths the run is disturbed."""
        others = (self.machine - since.machine) - (self.ours - since.ours)
        return max(0.0, others / (self.at - since.at) / (os.cpu_count() or 1))


def usage() -> Usage | None:
    """The processor time used until now; None where the system does not tell."""
    second = os.sysconf("SC_CLK_TCK")
    ticks: dict[int, int] = {}
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            fields = path.read_text().rpartition(")")[2].split()
            pid = int(path.parent.name)
            parents[pid], ticks[pid] = int(fields[1]), sum(map(int, fields[11:15]))  # with children that have ended
    with suppress(OSError, ValueError):
        columns = [int(column) for column in Path("/proc/stat").read_text().splitlines()[0].split()[1:8]]
        own = os.getpid()
        ours = ticks[own] + sum(count for pid, count in ticks.items() if _is_below(pid, own, parents))
        return Usage(time.monotonic(), (sum(columns) - columns[3] - columns[4]) / second, ours / second)
    return None


def _is_below(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == ancestor:
            return True
    return False
