"""The supervisor, in a process of its own, over small real children."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bursar.infra import embedded, supervise
from tests.infra.processes import is_alive, wait_until

# A part: says what happens to it in the file `log`, runs until SIGTERM.
PART = """
import os, signal, sys, time
def say(what):
    with open("log", "a") as log:
        log.write(f"{sys.argv[1]} {what} {os.getpid()}\\n")
def end(*_):
    time.sleep(0.1)
    say("ended")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
say("began")
while True:
    time.sleep(60)
"""
STUBBORN = PART.replace("signal.signal(signal.SIGTERM, end)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
GRACE_SECONDS = {STUBBORN: 0.5}
"""For the others long enough, whatever else runs on this machine."""

BROKEN = "import sys; sys.exit(3)"
WITH_CHILD = "import subprocess; subprocess.Popen(['sleep', '3600']);" + PART
RUN = """
import sys
from bursar.infra.supervise import Part, supervise
def note(what):
    with open("log", "a") as log:
        log.write(what + "\\n")
def tend():
    {tend}
parts = [Part(name, [sys.executable, "-c", code, name], grace_seconds=grace) for name, code, grace in {parts!r}]
sys.exit(supervise(parts, on_ready=lambda: note("ready"), tend=tend, stop=lambda: note("stopped")))
"""

SERVE = """
import sys
from pathlib import Path
from bursar.infra import embedded
from bursar.infra.supervise import Part, supervise
server = embedded.start(Path("data"), settings={{"shared_buffers": "16MB"}})
parts = [Part("api", [sys.executable, "-c", {part!r}, "api"])]
sys.exit(supervise(parts, on_ready=lambda: print(server.pid, flush=True), tend=server.revive, stop=server.stop))
"""


class Service:
    """A supervisor that runs, and what its parts said."""

    def __init__(self, directory: Path, parts: dict[str, str], tend: str = "pass", *prefix: str) -> None:
        self._directory = directory
        whole = [(name, code, GRACE_SECONDS.get(code, 30)) for name, code in parts.items()]
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", RUN.format(parts=whole, tend=tend)],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(Path(supervise.__file__).parents[2])},
            stderr=subprocess.PIPE,
            text=True,
        )

    def log(self) -> list[list[str]]:
        path = self._directory / "log"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def events(self) -> list[str]:
        return [" ".join(words[:2]) for words in self.log()]

    def pids(self, name: str) -> list[int]:
        return [int(words[2]) for words in self.log() if words[:2] == [name, "began"]]

    def wait_for(self, *events: str) -> None:
        wait_until(lambda: set(events) <= set(self.events()), 60)

    def end(self, seconds: float = 60) -> tuple[int, str]:
        """Wait for the end; gives the exit status and what the operator read."""
        said = self.process.communicate(timeout=seconds)[1]
        return self.process.returncode, said


def command_of(pid: int) -> bytes:
    """What a process was started with; nothing of one that has just ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    services: list[Service] = []

    def start(parts: dict[str, str], tend: str = "pass", *prefix: str) -> Service:
        services.append(Service(tmp_path, parts, tend, *prefix))
        return services[-1]

    yield start
    for one in services:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()
        for words in one.log():
            if words[1:2] == ["began"] and is_alive(int(words[2])):
                os.kill(int(words[2]), signal.SIGKILL)


class TestSupervise:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_stops_everything_in_order_on_a_signal(self, service: Callable[..., Service], number: int) -> None:
        running = service({"api": PART, "worker": PART})
        running.wait_for("api began", "worker began", "ready")
        running.process.send_signal(number)
        assert running.end() == (0, "")
        assert running.events()[-3:] == ["api ended", "worker ended", "stopped"]
        assert not any(is_alive(pid) for pid in running.pids("api") + running.pids("worker"))

    def test_goes_on_without_its_terminal_when_told_so(self, service: Callable[..., Service]) -> None:
        running = service({"api": PART}, "pass", "nohup")
        running.wait_for("api began", "ready")
        running.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert running.process.poll() is None
        running.process.send_signal(signal.SIGTERM)
        assert running.end()[0] == 0

    def test_starts_a_part_again_that_was_killed(self, service: Callable[..., Service]) -> None:
        running = service({"api": PART, "worker": PART})
        running.wait_for("api began", "worker began")
        os.kill(running.pids("worker")[0], signal.SIGKILL)
        wait_until(lambda: len(running.pids("worker")) == 2, 60)
        running.process.send_signal(signal.SIGTERM)
        status, said = running.end()
        assert status == 0
        assert said == "bursar: the worker was ended by SIGKILL; starting it again in 0.2 s.\n"
        assert len(running.pids("api")) == 1

    def test_gives_up_on_a_part_that_cannot_run(self, service: Callable[..., Service]) -> None:
        running = service({"api": PART, "worker": BROKEN})
        status, said = running.end()
        assert status == 1
        lines = said.splitlines()
        assert len(lines) == supervise.RESTARTS_MAX + 1
        assert lines[-1] == "bursar: the worker ended with status 3, for the 6th time in a minute; giving up."
        assert running.events()[-2:] == ["api ended", "stopped"]

    def test_kills_what_does_not_end(self, service: Callable[..., Service]) -> None:
        running = service({"api": STUBBORN, "worker": PART})
        running.wait_for("api began", "worker began")
        running.process.send_signal(signal.SIGTERM)
        status, said = running.end()
        assert (status, said) == (0, "bursar: the api did not end in time and is killed.\n")
        assert running.events()[-2:] == ["worker ended", "stopped"]
        assert not is_alive(running.pids("api")[0])

    def test_leaves_no_grandchild(self, service: Callable[..., Service]) -> None:
        running = service({"api": WITH_CHILD})
        running.wait_for("api began")
        (pid,) = running.pids("api")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        running.process.send_signal(signal.SIGTERM)
        assert running.end()[0] == 0
        assert len(children) == 1
        wait_until(lambda: not is_alive(int(children[0])), 60)

    def test_tends_and_ends_when_that_fails(self, service: Callable[..., Service]) -> None:
        tend = "note('tended'); open('fail').close() if len(open('log').readlines()) > 4 else None"
        status, said = service({"api": PART}, tend).end()
        assert status == 1
        assert said.startswith("bursar: [Errno 2] No such file")

    def test_parts_end_when_the_supervisor_is_killed(self, service: Callable[..., Service]) -> None:
        running = service({"api": PART, "worker": PART})
        running.wait_for("api began", "worker began")
        running.process.kill()
        running.wait_for("api ended", "worker ended")

    def test_is_ready_when_every_part_says_so(self, tmp_path: Path) -> None:
        ready: list[float] = []
        began = time.monotonic()

        def on_ready() -> None:
            ready.append(time.monotonic() - began)
            os.kill(os.getpid(), signal.SIGTERM)

        part = supervise.Part("api", ["sleep", "60"], is_ready=lambda: time.monotonic() - began > 0.3)
        assert supervise.supervise([part], on_ready=on_ready) == 0
        assert len(ready) == 1
        assert 0.3 < ready[0] < 30

    def test_ends_the_parts_before_one_that_cannot_start(self, tmp_path: Path) -> None:
        stopped: list[bool] = []
        parts = [supervise.Part("api", ["sleep", "3597"]), supervise.Part("worker", [str(tmp_path / "missing")])]
        with pytest.raises(FileNotFoundError):
            supervise.supervise(parts, stop=lambda: stopped.append(True))
        assert stopped == [True]
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        assert not [pid for pid in children if b"3597" in command_of(int(pid))]

    def test_costs_little_to_import(self) -> None:
        code = "import sys, bursar.infra.supervise, bursar.infra.embedded; print(*sys.modules)"
        environment = {**os.environ, "PYTHONPATH": str(Path(supervise.__file__).parents[2])}
        command = [sys.executable, "-c", code]
        shown = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        assert not {"asyncio", "fastapi", "pydantic", "asyncpg", "msgspec"} & set(shown.split())


class TestWithTheDatabase:
    @pytest.fixture
    def serve(self) -> Iterator[tuple[subprocess.Popen[str], Path, int]]:
        """A service as `bursar serve` builds it: its process, its directory and the server's process number."""
        directory = Path(tempfile.mkdtemp(prefix="bursar-test-"))
        directory.chmod(0o755)
        environment = {**os.environ, "PYTHONPATH": str(Path(supervise.__file__).parents[2])}
        command = [sys.executable, "-c", SERVE.format(part=PART)]
        with subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            yield process, directory, int(process.stdout.readline())
            process.kill()
        wait_until(lambda: embedded.running(directory / "data") is None, 60)
        shutil.rmtree(directory, ignore_errors=True)

    def test_a_killed_server_is_back_at_the_same_address(self, serve: tuple[subprocess.Popen[str], Path, int]) -> None:
        process, directory, pid = serve
        url = embedded.running(directory / "data")
        assert url is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), 30)
        wait_until(lambda: embedded.running(directory / "data") == url, 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert embedded.running(directory / "data") is None

    def test_a_killed_supervisor_takes_all_with_it(self, serve: tuple[subprocess.Popen[str], Path, int]) -> None:
        process, directory, pid = serve
        log = directory / "log"
        wait_until(lambda: log.exists() and log.read_text().endswith("\n"), 60)
        api = int(log.read_text().split()[2])
        process.kill()
        wait_until(lambda: not is_alive(pid) and not is_alive(api), 60)
