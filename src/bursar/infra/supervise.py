"""The processes of `bursar serve`: started together, kept running, stopped in order. Standard library only."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType

from bursar.infra.death import die_with_parent

RESTARTS_MAX = 5  # of one part in a minute; the next one ends the service
_RESTART_WINDOW_SECONDS = 60.0
_BACKOFF_SECONDS = (0.2, 5.0)  # the first wait, doubled each time up to the last
_TEND_SECONDS = 0.5
_READY_POLL_SECONDS = 0.05
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the service. It is expected to run until it gets SIGTERM.

    is_ready: asked, until it says yes, before the service is called ready. grace_seconds: from SIGTERM to SIGKILL.
    """

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool] | None = None
    grace_seconds: float = 10.0


@dataclass(slots=True)
class _Child:
    part: Part
    process: subprocess.Popen[bytes]
    is_ready: bool = False
    restart_at: float | None = None
    deaths: list[float] = field(default_factory=list)


def listens(host: str, port: int) -> bool:
    """Whether somebody accepts connections there: an `is_ready` for a part that serves."""
    try:
        socket.create_connection((host, port), timeout=0.2).close()
    except OSError:
        return False
    return True


def supervise(
    parts: Sequence[Part],
    *,
    on_ready: Callable[[], None] | None = None,
    tend: Callable[[], object] | None = None,
    stop: Callable[[], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> int:
    """Run the parts until Ctrl-C, SIGTERM or SIGHUP; call it in the main thread. Returns the exit status.

    A part that ends by itself is started again, later each time; the sixth death in a minute ends the service with 1.
    On the signal the parts get SIGTERM in order, each when the one before has ended or was killed after its grace; then
    `stop` is called. A second signal kills what is left at once. Nothing is left running.

    on_ready: called once, when every part has said that it is ready. tend: called about twice a second, to look after
    what is not a part (the database); what it raises ends the service with 1. say: takes the lines for the operator.
    """
    tell = say or _to_stderr
    children: list[_Child] = []
    with _signals() as signals:
        try:
            for part in parts:
                children.append(_Child(part, _spawn(part)))  # noqa: PERF401 - should one fail, the ones before are ended
            return _run(children, signals, on_ready=on_ready, tend=tend, tell=tell)
        finally:
            for child in children:
                _end(child, signals, tell)
            if stop is not None:
                stop()


class _Signals:
    """Counts the signals to stop; `wait` sleeps until one comes, a child ends, or the time is over."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.count = 0

    def on_stop(self, number: int, frame: FrameType | None) -> None:
        self.count += 1

    def wait(self, seconds: float) -> None:
        select.select([self._descriptor], [], [], max(0.0, seconds))
        with contextlib.suppress(BlockingIOError):
            while os.read(self._descriptor, 512):
                pass


@contextlib.contextmanager
def _signals() -> Iterator[_Signals]:
    """Take the signals over for a while. They wake `select` through a pipe, so nothing is missed and nothing polled."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signals = _Signals(reader)
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    numbers = [number for number in _STOP_SIGNALS if not (number == signal.SIGHUP and _is_ignored(number))]  # nohup
    before = {number: signal.signal(number, signals.on_stop) for number in numbers}
    before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda number, frame: None)
    try:
        yield signals
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        os.close(reader)
        os.close(writer)


def _is_ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN


def _spawn(part: Part) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(part.command),
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # the terminal's Ctrl-C is for us, who stop the parts in order
        preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - only the main thread gets one
    )


def _run(
    children: list[_Child],
    signals: _Signals,
    *,
    on_ready: Callable[[], None] | None,
    tend: Callable[[], object] | None,
    tell: Callable[[str], None],
) -> int:
    """Keep the children running until a signal (0) or until it is no use (1)."""
    is_ready = False
    while signals.count == 0:
        try:
            if tend is not None:
                tend()
        except Exception as error:  # whatever it is, the operator gets the line and the service ends
            tell(f"bursar: {error}")
            return 1
        for child in children:
            if not _keep(child, tell):
                return 1
        if not is_ready and all(_is_ready(child) for child in children):
            is_ready = True
            if on_ready is not None:
                on_ready()
        due = [child.restart_at - time.monotonic() for child in children if child.restart_at is not None]
        signals.wait(min([_TEND_SECONDS if is_ready else _READY_POLL_SECONDS, *due]))
    return 0


def _is_ready(child: _Child) -> bool:
    if not child.is_ready and child.process.poll() is None:
        child.is_ready = child.part.is_ready is None or child.part.is_ready()
    return child.is_ready


def _keep(child: _Child, tell: Callable[[str], None]) -> bool:
    """Start a child again that has ended, when its time has come. Returns False when it has ended too often."""
    now = time.monotonic()
    if child.restart_at is not None:
        if now >= child.restart_at:
            child.restart_at = None
            child.process = _spawn(child.part)
        return True
    status = child.process.poll()
    if status is None:
        return True
    _kill_group(child)
    child.deaths = [*(death for death in child.deaths if death > now - _RESTART_WINDOW_SECONDS), now]
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    if len(child.deaths) > RESTARTS_MAX:
        tell(f"bursar: the {child.part.name} {how}, for the {len(child.deaths)}th time in a minute; giving up.")
        return False
    first, last = _BACKOFF_SECONDS
    wait = min(last, first * 2 ** (len(child.deaths) - 1))
    tell(f"bursar: the {child.part.name} {how}; starting it again in {wait:.1f} s.")
    child.restart_at = now + wait
    return True


def _end(child: _Child, signals: _Signals, tell: Callable[[str], None]) -> None:
    """End a child: SIGTERM, its grace, SIGKILL; and whatever it started itself."""
    if child.restart_at is not None:  # ended already, not started again
        return
    if child.process.poll() is None:
        child.process.terminate()
        deadline = time.monotonic() + child.part.grace_seconds
        while child.process.poll() is None and (left := deadline - time.monotonic()) > 0 and signals.count < 2:
            signals.wait(left)
        if child.process.poll() is None:
            tell(f"bursar: the {child.part.name} did not end in time and is killed.")
    _kill_group(child)
    child.process.wait()


def _kill_group(child: _Child) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, signal.SIGKILL)


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
