"""Real processes of the service on one database, killed and started again; and what has to be true afterwards."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from bursar.infra.db import prepare_connection
from bursar.infra.death import die_with_parent
from bursar.infra.keyfiles import token_key
from bursar.providers.sandbox.books import Books
from tests.support.ports import free_port
from tests.support.service import eventually
from tests.support.tokens import token
from tests.support.truth import PROCESSING, book_faults

SOURCE = Path(__file__).parents[2] / "src"
START_SECONDS_MAX = 90
STOP_SECONDS_MAX = 60
CLEARING = "provider:sandbox:clearing"
QUICK = {
    "BURSAR_PROVIDER_TIMEOUT_SECONDS": "1",
    "BURSAR_INQUIRY_AFTER_SECONDS": "1",
    "BURSAR_INQUIRY_ON_READ_AFTER_SECONDS": "1",
    "BURSAR_SANDBOX_SLOW_SECONDS": "0.4",
    "BURSAR_DATABASE_POOL_SIZE": "4",
    "BURSAR_LOG_LEVEL": "ERROR",
}


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """The environment of a process of the service whose data lies there, with short waits."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
    return {**inherited, "PYTHONPATH": str(SOURCE), **QUICK, "BURSAR_DATA_DIR": str(data_dir), **more}


def open_directory() -> Path:
    """A new directory that every user may enter, as PostgreSQL's has to when root starts it."""
    directory = Path(tempfile.mkdtemp(prefix="bursar-test-"))
    directory.chmod(0o755)
    return directory


def say(line: str) -> None:
    """Tell whoever runs pytest with -s."""
    sys.stdout.write(f"\n{line}")


class Process:
    """`python -m bursar …`, a child of ours: started, killed, started again. What it says goes to a file."""

    def __init__(self, *arguments: str, env: dict[str, str], log: Path) -> None:
        self.command = [sys.executable, "-m", "bursar", *arguments]
        self.env = env
        self.log = log
        self.deaths = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        assert self._process is None
        with self.log.open("ab") as file:
            self._process = subprocess.Popen(
                self.command,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - only the main thread gets one
            )

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self._process is not None and self._process.poll() is None, f"it ended by itself: {self.said()}"
        self._process.kill()
        self._process.wait()
        self._process = None
        self.deaths += 1

    def stop(self, seconds: float = STOP_SECONDS_MAX) -> int | None:
        """SIGTERM, and wait. Returns its exit status; None where it did not run."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._process = None

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-4_000:]


class Ground:
    """One database, one data directory, and processes on them."""

    def __init__(self, directory: Path, database_url: str) -> None:
        self.directory = directory
        self.database_url = database_url
        self.books_path = directory / "books.jsonl"
        self.env = environment(directory, BURSAR_DATABASE_URL=database_url, BURSAR_SANDBOX_BOOKS=str(self.books_path))
        self.token = token(token_key(directory / "keys"), "service")
        self.processes: list[Process] = []
        self.apis: dict[str, Process] = {}
        """By base URL."""
        self.workers: list[Process] = []

    def new_api(self) -> str:
        """Start another API. Returns its base URL; see `ready`."""
        port = free_port()
        process = self._new("api", BURSAR_PORT=str(port))
        self.apis[f"http://127.0.0.1:{port}"] = process
        return f"http://127.0.0.1:{port}"

    def new_worker(self) -> Process:
        self.workers.append(self._new("worker"))
        return self.workers[-1]

    def _new(self, name: str, **env: str) -> Process:
        log = self.directory / f"{name}-{len(self.processes)}.log"
        process = Process(name, env={**self.env, **env}, log=log)
        process.start()
        self.processes.append(process)
        return process

    async def ready(self, *bases: str) -> None:
        """Wait until these APIs serve, all where none is named; and until a worker works, where there is one."""
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            for base in bases or tuple(self.apis):

                async def answers(base: str = base) -> bool:
                    process = self.apis[base]
                    assert process.returncode is None, f"the API ended: {process.said()}"
                    try:
                        return (await client.get(f"{base}/readyz")).status_code == 200
                    except httpx.TransportError:
                        return False

                await eventually(answers, START_SECONDS_MAX)
        if self.workers:
            async with self.connection() as connection:
                await eventually(lambda: has_begun(connection), START_SECONDS_MAX)

    def stop(self) -> None:
        for process in self.processes:
            process.stop()

    def bursar(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the CLI on this database."""
        return subprocess.run(
            [sys.executable, "-m", "bursar", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    async def prove(self) -> None:
        """The ledger is verified, and the history replayed without a difference."""
        commands = (("ledger", "verify"), ("events", "replay"))
        for proof in await asyncio.gather(*(asyncio.to_thread(self.bursar, *command) for command in commands)):
            assert proof.returncode == 0, proof.stdout + proof.stderr

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection of the database's owner, beside the service."""
        async with connected(self.database_url) as connection:
            yield connection

    @contextmanager
    def books(self) -> Iterator[Books]:
        """The provider's own truth."""
        with reading(self.books_path) as books:
            yield books


async def has_begun(connection: Any) -> bool:
    """Whether a worker has ever fired a schedule."""
    return bool(await connection.fetchval("select count(*) from schedules"))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        await prepare_connection(connection)
        yield connection
    finally:
        await connection.close()


@contextmanager
def reading(path: Path) -> Iterator[Books]:
    books = Books(path)
    try:
        yield books
    finally:
        books.close()


@asynccontextmanager
async def ground(directory: Path, database_url: str) -> AsyncIterator[Ground]:
    """A Ground whose processes are stopped at the end."""
    made = Ground(directory, database_url)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.stop)


async def quiet(connection: Any, seconds: float) -> None:
    """Wait until no payment is in PROCESSING."""

    async def is_quiet() -> bool:
        await asyncio.sleep(0.1)
        return not await connection.fetchval("select count(*) from payments where status = any($1)", list(PROCESSING))

    await eventually(is_quiet, seconds)


async def faults(connection: Any, books: Books) -> list[str]:
    """Where payments, ledger and the provider's books differ, in any unit, payment by payment."""
    found = await book_faults(books, connection)
    by_reference = {row["provider_transaction_id"]: row for row in await connection.fetch("select * from payments")}
    moved = {
        row["about"]: row["moved"]
        for row in await connection.fetch(
            "select about, sum(amount) as moved from postings where account = $1 group by about", CLEARING
        )
    }
    for reference, payment in by_reference.items():
        taken = books.accounts[reference].captured if reference in books.accounts else 0
        if not payment["amount_captured"] == moved.get(payment["id"], 0) == taken:
            shown = f"{payment['amount_captured']} captured, {moved.get(payment['id'], 0)} booked, {taken} taken"
            found.append(f"payment {payment['id']}: {shown}")
    for reference, account in books.accounts.items():
        if account.authorized and not account.is_closed and reference not in by_reference:
            found.append(f"the provider holds {account.authorized} on {reference}, of which no payment knows")
    return found
