"""The service that the demo drives: the one that runs on this data directory, else one of its own for its time."""

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from bursar.cli import fail
from bursar.cli.tokens import make_token
from bursar.infra import embedded
from bursar.infra.death import die_with_parent
from bursar.settings import Settings, inherited

START_SECONDS_MAX: Final = 90
STOP_SECONDS_MAX: Final = 60
POLL_SECONDS: Final = 0.05


class Address(msgspec.Struct, frozen=True):
    """Where a service listens, a token that it takes, and its database."""

    host: str
    port: int
    token: str
    database_url: str

    @property
    def base(self) -> str:
        return f"http://{self.host}:{self.port}"


@contextmanager
def service(settings: Settings) -> Iterator[Address]:
    """A service that is ready. One that was started here has ended when this is left."""
    if settings.jwt_key or settings.jwks:
        fail("the demo signs its tokens with the data directory's own key: unset BURSAR_JWT_KEY and BURSAR_JWKS")
    token = make_token(settings, roles="service", customer_id=None, vendor_id=None, subject="demo", days=1)
    found = Address(settings.host, settings.port, token, _database_url(settings))
    if found.database_url and _takes(found):
        yield found
        return
    with socket.create_server((settings.host, 0)) as probe:
        port = probe.getsockname()[1]
    ours = msgspec.structs.replace(settings, port=port, database_url=found.database_url)
    process = subprocess.Popen(
        [sys.executable, "-m", "bursar", "serve"],
        env=inherited(ours),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - only the main thread gets one
    )
    try:
        started = msgspec.structs.replace(found, port=port)
        _wait(process, started)
        yield msgspec.structs.replace(started, database_url=_database_url(settings))
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _database_url(settings: Settings) -> str:
    """The database of a service that may run on this data directory; empty where the embedded one does not run."""
    return settings.database_url or embedded.running(settings.data_path) or ""


def _wait(process: "subprocess.Popen[bytes]", address: Address) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while not _takes(address):
        if process.poll() is not None:
            fail(f"the service did not start (it ended with {process.returncode})")
        if time.monotonic() > deadline:
            fail(f"the service is not ready after {START_SECONDS_MAX} s")
        time.sleep(POLL_SECONDS)


def _takes(address: Address) -> bool:
    """Whether a service is ready there and takes the token: then it works with the keys of this data directory."""
    listing = f"{address.base}/api/v1/payments/core/status/PENDING?limit=1"
    request = urllib.request.Request(listing, headers={"Authorization": f"Bearer {address.token}"})  # noqa: S310
    try:
        with (
            urllib.request.urlopen(f"{address.base}/readyz", timeout=2) as ready,  # noqa: S310  our own address
            urllib.request.urlopen(request, timeout=2) as listed,  # noqa: S310
        ):
            return bool(ready.status == 200 and listed.status == 200)
    except (OSError, ValueError):
        return False
