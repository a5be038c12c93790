"""The cluster on disk: made once by initdb, its settings written anew at every start."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bursar.infra.death import die_with_parent
from bursar.infra.embedded.errors import EmbeddedError
from bursar.infra.embedded.place import Runner

MAJOR = "18"
NAME = "bursar"  # of the role and of the database
_INITDB_SECONDS_MAX = 120
_MEGABYTE = 1024 * 1024
_SHARED_BUFFERS_MB_MAX = 512
_SHARED_MEMORY_MB_MIN = 256  # of /dev/shm; containers often give 64, too little for parallel queries


def ensure(home: Path, bin_dir: Path, runner: Runner) -> None:
    """Make the cluster unless it is there. It is made under another name and renamed when whole, so never half."""
    cluster = home / "cluster"
    for leftover in home.glob("making-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if not cluster.exists() or not any(cluster.iterdir()):
        _make(home, bin_dir, runner)
        return
    version = cluster / "PG_VERSION"
    if not version.is_file():
        raise EmbeddedError(f"{cluster} is not a PostgreSQL cluster; move it away to begin anew.")
    if (major := version.read_text().strip()) != MAJOR:
        raise EmbeddedError(
            f"{cluster} was made by PostgreSQL {major}, but this is PostgreSQL {MAJOR}; "
            "upgrade it with pg_upgrade, or use the Bursar that made it."
        )


def _make(home: Path, bin_dir: Path, runner: Runner) -> None:
    making = Path(tempfile.mkdtemp(prefix="making-", dir=home))
    runner.give(making, 0o700)
    password_file = home / "password"
    password = secrets.token_urlsafe(32)
    _write_private(password_file, password)
    secret = making / "secret"  # a copy that the runner may read; initdb wants its own directory empty
    _write_private(secret, password)
    runner.give(secret, 0o600)
    target = making / "cluster"
    command = [
        *(str(bin_dir / "initdb"), f"--pgdata={target}", f"--username={NAME}", f"--pwfile={secret}"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--text-search-config=english"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
        *("-c", "timezone=UTC", "-c", "log_timezone=UTC", "-c", "max_connections=100"),
    ]
    _run(command, runner)
    single = [str(bin_dir / "postgres"), "--single", "-D", str(target), "-c", "log_min_messages=fatal", "postgres"]
    _run(single, runner, stdin=f"CREATE DATABASE {NAME};\n")
    target.rename(home / "cluster")
    shutil.rmtree(making)
    descriptor = os.open(home, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _run(command: list[str], runner: Runner, *, stdin: str | None = None) -> None:
    """Run a program of PostgreSQL to its end; what it complained of becomes the error."""
    options: dict[str, Any] = runner.options()
    if stdin is not None:
        options.pop("stdin")
        options["input"] = stdin
    finished = subprocess.run(
        command,
        **options,
        preexec_fn=die_with_parent(signal.SIGKILL),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_INITDB_SECONDS_MAX,
        check=False,
    )
    if finished.returncode != 0:
        said = [line for line in finished.stderr.splitlines() if "error" in line.lower() or "FATAL" in line]
        reason = said[-1] if said else (finished.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EmbeddedError(f"the database could not be made: {reason}")


def write_settings(cluster: Path, runner: Runner, settings: Mapping[str, str]) -> None:
    """Write postgresql.conf: ours first, then `settings`, which win. ALTER SYSTEM wins over both, as ever."""
    merged = {**_defaults(), **settings}
    lines = ["# Written by Bursar at every start. Lasting changes: ALTER SYSTEM, or the settings Bursar is given.", ""]
    lines += [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in merged.items()]
    new = cluster / "postgresql.conf.new"
    new.write_text("\n".join(lines) + "\n")
    runner.give(new, 0o600)
    new.rename(cluster / "postgresql.conf")


def _defaults() -> dict[str, str]:
    """Settings for one small machine that also runs the service. Nothing that money rests on is relaxed."""
    memory_mb = _memory_bytes() // _MEGABYTE
    return {
        "timezone": "UTC",
        "log_timezone": "UTC",
        "max_connections": "100",
        # memory
        "shared_buffers": f"{max(16, min(_SHARED_BUFFERS_MB_MAX, memory_mb // 4))}MB",
        "effective_cache_size": f"{max(64, memory_mb // 2)}MB",
        "work_mem": "8MB",
        "maintenance_work_mem": "64MB",
        "huge_pages": "try",
        "dynamic_shared_memory_type": _dynamic_shared_memory(),
        # durability
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "wal_level": "replica",
        "wal_init_zero": "off",  # filling each new segment with zeros stalled all commits for some 40 ms under load
        "wal_compression": "off",  # the wheel has pglz only, whose cost in CPU is above what it saves
        "wal_buffers": "16MB",
        "min_wal_size": "256MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": "0.9",
        # planning
        "jit": "off",
        "random_page_cost": "1.1",
        "max_parallel_workers_per_gather": "1",
        "io_method": "sync",  # reads hit memory; workers would only take turns with the service on few cores
        # vacuum: early and in small bites
        "autovacuum_naptime": "20s",
        "autovacuum_max_workers": "2",
        "autovacuum_vacuum_scale_factor": "0.05",
        "autovacuum_vacuum_insert_scale_factor": "0.1",
        "autovacuum_analyze_scale_factor": "0.02",
        # the log; values of parameters may be personal data and stay out of it
        "log_min_messages": "warning",
        "log_checkpoints": "off",
        "log_min_duration_statement": "1s",
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
        "log_line_prefix": "%m [%p] %a ",
    }


def _memory_bytes() -> int:
    """The memory of the machine, or of the container if that is less."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # absent, or the word "max"
            memory = min(memory, int(Path(limit).read_text()))
    return memory


def _dynamic_shared_memory() -> str:
    with contextlib.suppress(OSError):
        room = os.statvfs("/dev/shm")  # noqa: S108 - only measured
        if room.f_bavail * room.f_frsize < _SHARED_MEMORY_MB_MIN * _MEGABYTE:
            return "mmap"
    return "posix"
