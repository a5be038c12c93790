"""The server's process: started, found again, ended."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bursar.infra.death import die_with_parent
from bursar.infra.embedded.cluster import write_settings
from bursar.infra.embedded.errors import EmbeddedError
from bursar.infra.embedded.place import Runner

_START_SECONDS_MAX = 300  # a crash recovery replays up to max_wal_size
_RETRY_SECONDS_MAX = 10  # how long the memory of a killed server may still be in use
_FAST_SECONDS_MAX = 30  # for a shutdown with its checkpoint
_IMMEDIATE_SECONDS_MAX = 10
_POLL_SECONDS = 0.003
_PORTS = (15_000, 32_000)  # below the ports that outgoing connections take
_PORT_TRIES_MAX = 100
_LOG_BYTES_MAX = 16 * 1024 * 1024
_HAS_PROC = Path("/proc/self/cwd").exists()


@dataclass(frozen=True, slots=True)
class PidFile:
    """What postmaster.pid says."""

    pid: int
    port: int
    is_ready: bool


def read_pid_file(cluster: Path) -> PidFile | None:
    """Read postmaster.pid; None when it is absent or half written."""
    try:
        lines = (cluster / "postmaster.pid").read_text(errors="replace").splitlines()
        return PidFile(int(lines[0]), int(lines[3]), is_ready=len(lines) > 7 and lines[7].strip() == "ready")
    except FileNotFoundError:
        return None
    except (IndexError, ValueError):
        return None


def is_server_of(pid: int, cluster: Path) -> bool:
    """Whether the process is a PostgreSQL that runs on this cluster, and not another that got the same number."""
    if _HAS_PROC:
        try:
            cwd, program = os.stat(f"/proc/{pid}/cwd"), Path(os.readlink(f"/proc/{pid}/exe")).name
        except OSError:
            return False
        return os.path.samestat(cwd, cluster.stat()) and program.split()[0] == "postgres"
    command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return "postgres" in shown and str(cluster) in shown


def end_leftover(cluster: Path) -> None:
    """End a server that an earlier start left on this cluster, and a pid file that names a stranger.

    The caller holds the lock of the data directory, so nobody else is using that server.
    """
    file = cluster / "postmaster.pid"
    try:
        pid = int(file.read_text(errors="replace").split("\n", 1)[0])
    except FileNotFoundError:
        return
    except ValueError:  # cut short by a crash of the machine
        file.unlink()
        return
    if is_server_of(pid, cluster):
        end(pid, lambda: not is_server_of(pid, cluster))
    elif _exists(pid):
        # PostgreSQL would take the stranger for itself. Should some process of the old server still be there, it
        # notices by the shared memory.
        file.unlink()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end(pid: int, has_ended: Callable[[], bool]) -> None:
    """Shut a server down: fast, then immediately, then by force; each bounded. Returns when it has ended."""
    for number, seconds in (
        (signal.SIGINT, _FAST_SECONDS_MAX),
        (signal.SIGQUIT, _IMMEDIATE_SECONDS_MAX),
        (signal.SIGKILL, _IMMEDIATE_SECONDS_MAX),
    ):
        if has_ended():
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if has_ended():
                return
            time.sleep(_POLL_SECONDS)
    raise EmbeddedError(f"PostgreSQL (process {pid}) does not end.")


def launch(
    home: Path, bin_dir: Path, runner: Runner, *, port: int | None, sockets: Path, settings: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server and wait until it accepts connections. Returns the process and its port.

    port: None takes the last one again if it is free, else another free one.
    Tries again while a killed server's memory is in use, and when somebody else was faster at the port.
    """
    cluster = home / "cluster"
    deadline = time.monotonic() + _RETRY_SECONDS_MAX
    while True:
        chosen = port or _free_port(cluster)
        ours = {"port": str(chosen), "listen_addresses": "127.0.0.1", "unix_socket_directories": str(sockets)}
        write_settings(cluster, runner, {**settings, **ours})
        process, reason = _try(home, bin_dir, runner)
        if not reason:
            return process, chosen
        is_port_taken = "TCP/IP sockets" in reason
        if is_port_taken and port is not None:
            raise EmbeddedError(f"PostgreSQL cannot have port {port}: it is in use.")
        if not (is_port_taken or "shared memory block" in reason) or time.monotonic() > deadline:
            raise EmbeddedError(f"PostgreSQL did not start: {reason} (see {home / 'server.log'})")
        time.sleep(0.1)


def _try(home: Path, bin_dir: Path, runner: Runner) -> tuple[subprocess.Popen[bytes], str]:
    """Start the server once. Returns the process, and why it ended if it did not come up."""
    cluster, log = home / "cluster", home / "server.log"
    if log.exists() and log.stat().st_size > _LOG_BYTES_MAX:
        log.replace(home / "server.log.1")
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    offset = os.fstat(descriptor).st_size
    try:
        process = subprocess.Popen(
            [str(bin_dir / "postgres"), "-D", str(cluster)],
            **runner.options(),
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,  # Ctrl-C in the terminal is for the supervisor, which stops the parts in order
            preexec_fn=die_with_parent(signal.SIGINT),  # noqa: PLW1509 - only the main thread gets one
        )
    finally:
        os.close(descriptor)
    try:
        is_ready = _wait(process, cluster)
    except BaseException:
        end(process.pid, lambda: process.poll() is not None)
        raise
    return process, "" if is_ready else _reason(log, offset)


def _wait(process: subprocess.Popen[bytes], cluster: Path) -> bool:
    """Wait until the server accepts connections (True) or has ended (False)."""
    deadline = time.monotonic() + _START_SECONDS_MAX
    while process.poll() is None:
        state = read_pid_file(cluster)
        if state is not None and state.pid == process.pid and state.is_ready:
            return True
        if time.monotonic() > deadline:
            raise EmbeddedError(f"PostgreSQL is not ready after {_START_SECONDS_MAX} seconds; see its server.log.")
        time.sleep(_POLL_SECONDS)
    return False


def _reason(log: Path, offset: int) -> str:
    """The last fatal line of the log from `offset` on, without its prefix."""
    with log.open("rb") as file:
        file.seek(offset)
        lines = file.read().decode(errors="replace").splitlines()
    fatal = [line for line in lines if re.search(r"\b(FATAL|PANIC|ERROR):", line)] or lines or ["it gave no reason"]
    return re.sub(r"^.*?\b(?:FATAL|PANIC|ERROR):\s*", "", fatal[-1])


def _free_port(cluster: Path) -> int:
    with contextlib.suppress(OSError):
        last = re.search(r"^port = '(\d+)'$", (cluster / "postgresql.conf").read_text(), re.MULTILINE)
        if last and _is_free(int(last[1])):
            return int(last[1])
    for _ in range(_PORT_TRIES_MAX):
        if _is_free(port := random.randint(*_PORTS)):  # noqa: S311 - no secret
            return port
    raise EmbeddedError(f"found no free port for PostgreSQL between {_PORTS[0]} and {_PORTS[1]}.")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
