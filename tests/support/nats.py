"""A real nats-server of the test's own, killed and started again on the same store."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from nats.errors import Error
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from bursar.infra.bus.listen import DURABLE
from tests.support.ports import free_port
from tests.support.service import eventually

INSTALL_SECONDS = 180
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


@cache
def program() -> str:
    """Where nats-server is. It is installed where root can do that with apt; else the test is skipped."""
    found = shutil.which("nats-server", path=PATH)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        with (Path(tempfile.gettempdir()) / "bursar-test-apt.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one worker of the run installs it
            if shutil.which("nats-server", path=PATH) is None:
                with suppress(OSError, subprocess.SubprocessError):
                    for command in (["update"], ["install", "-y", "--no-install-recommends", "nats-server"]):
                        subprocess.run(
                            ["apt-get", "-qq", *command],
                            check=True,
                            capture_output=True,
                            timeout=INSTALL_SECONDS,
                            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                        )
        found = shutil.which("nats-server", path=PATH)
    if found is None:
        pytest.skip("nats-server is not here and cannot be installed: apt-get install nats-server")
    return found


class NatsServer:
    """A nats-server with JetStream; `kill` is SIGKILL."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self._process is None
        command = [program(), "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.directory)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def is_ready(self) -> bool:
        """Whether it serves since it was started last."""
        return b"Server is ready" in self._log.read_bytes()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @asynccontextmanager
    async def jetstream(self) -> AsyncIterator[JetStreamContext]:
        """A client of this server, as another service is one."""
        client = await nats.connect(self.url, max_reconnect_attempts=-1, reconnect_time_wait=1)
        try:
            yield client.jetstream()
        finally:
            await client.close()

    async def last_sequence(self, stream: str = "BURSAR") -> int:
        """How many messages a stream ever got; 0 where it is not there."""
        async with self.jetstream() as jetstream:
            try:
                return int((await jetstream.stream_info(stream)).state.last_seq)
            except NotFoundError:
                return 0

    async def stored(self, stream: str = "BURSAR") -> list[Any]:
        """Every message of a stream, in its order: subject, headers, and the document."""
        async with self.jetstream() as jetstream:
            try:
                state = (await jetstream.stream_info(stream)).state
            except NotFoundError:
                return []
            found = []
            for sequence in range(state.first_seq, state.last_seq + 1) if state.messages else ():
                message = await jetstream.get_msg(stream, sequence)
                assert message.data is not None
                found.append((message.subject, message.headers or {}, msgspec.json.decode(message.data)))
            return found


@asynccontextmanager
async def nats_server(directory: Path) -> AsyncIterator[NatsServer]:
    """A server that lives as long as the context."""
    server = NatsServer(directory)
    server.start()
    try:
        await eventually(server.is_ready, 60)
        yield server
    finally:
        server.kill()


async def is_listening(server: NatsServer) -> bool:
    """Whether the service's consumer of the platform's events is there."""
    async with server.jetstream() as jetstream:
        try:
            await jetstream.consumer_info("PLATFORM", DURABLE)
        except Exception:
            return False
    return True


async def is_drained(server: NatsServer) -> bool:
    """Whether that consumer has taken all that there was. It is told of a message a moment after its publisher was."""
    async with server.jetstream() as jetstream:
        try:
            last = (await jetstream.stream_info("PLATFORM")).state.last_seq
            info = await jetstream.consumer_info("PLATFORM", DURABLE)
        except Error:
            return False
    assert info.delivered is not None
    return info.delivered.stream_seq >= last and info.num_pending == 0 and info.num_ack_pending == 0
