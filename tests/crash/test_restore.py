"""A backup taken and restored as docs/operating.md says: the books are whole, and what was told since is told again."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bursar.infra import embedded
from bursar.infra.migrate import migrate
from simulators.kit.server import Simulator, build, running
from simulators.stripe import Stripe
from tests.crash.harness import SOURCE, environment, open_directory
from tests.support.api import json_of
from tests.support.database import ROLE, SMALL, VAULT_ROLE
from tests.support.disputes import DISPUTES
from tests.support.refunds import REFUNDS
from tests.support.service import MovableClock, serving
from tests.support.stripe import Shop
from tests.support.webhooks import read_logs

OPERATING = SOURCE.parent / "docs" / "operating.md"
PROOFS = (("ledger", "verify"), ("events", "replay"))


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user may enter, with what the document's commands name: `var`, `.venv`."""
    directory = open_directory()
    (directory / ".venv").symlink_to(sys.prefix)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def documented_backup() -> str:
    """The commands for a backup of a running embedded PostgreSQL."""
    found = re.search(r"- Embedded, running:\n\n((?: {6}.*\n)+)", OPERATING.read_text())
    assert found is not None
    return found.group(1)


def restore(place: Path) -> None:
    """Put the backup where the cluster was, owned by whom it belonged to."""
    cluster = place / "var" / "postgresql" / "cluster"
    owner = cluster.stat()
    cluster.rename(place / "lost")
    (place / "backup").rename(cluster)
    for path in (cluster, *cluster.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)


def prove(place: Path) -> None:
    """The ledger is verified, and the history replayed without a difference."""
    for command in PROOFS:
        run = [sys.executable, "-m", "bursar", *command]
        answer = subprocess.run(run, env=environment(place / "var"), capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr


async def story(at: Shop, payment: dict[str, Any]) -> dict[str, Any]:
    """What we know of a payment, its refunds and disputes."""
    shown = await at.api.show(payment["id"])
    refunds = json_of(await at.api.get(f"{REFUNDS}/payment/{payment['id']}"), 200)["data"]
    risk = at.service.api.as_("risk")
    disputes = json_of(await risk.get(f"{DISPUTES}/payment/{payment['id']}"), 200)["data"]
    return {
        "payment": [shown[name] for name in ("status", "amountCaptured", "amountRefunded", "amountDisputed")],
        "refunds": [(refund["status"], refund["amount"], refund["providerReference"]) for refund in refunds],
        "disputes": [(dispute["status"], dispute["amount"]) for dispute in disputes],
    }


@asynccontextmanager
async def shop_at(place: Path, clock: MovableClock, simulator: Simulator, address: str) -> AsyncIterator[Shop]:
    """The service on its embedded PostgreSQL, in front of the stand-in."""
    with embedded.start(place / "var", settings=SMALL) as server:
        await migrate(server.url, role=ROLE, vault_role=VAULT_ROLE)
        settings = {"providers": "stripe", "stripe_api_key": "sk_test_bursar", "stripe_api_base": address}
        async with serving(server.url, place / "var", clock=clock, **settings) as service:
            yield Shop(service, simulator, address)


async def test_what_a_provider_told_since_the_backup_is_told_again(place: Path) -> None:
    clock, application = MovableClock(), build(Stripe())
    async with running(application) as address:
        there = application.simulator
        async with shop_at(place, clock, there, address) as at:
            await at.service.run_schedule("webhooks.missed")  # from now on the log is read
            at.listen()
            refunded, disputed = await at.captured(), await at.captured()
            await at.hear()
            before = [await story(at, payment) for payment in (refunded, disputed)]
            backup = ["bash", "-euc", documented_backup()]
            await asyncio.to_thread(subprocess.run, backup, cwd=place, check=True, timeout=60)

            await at.in_dashboard("refunds", payment_intent=refunded["transactionId"], amount="300")
            await at.there_is("disputes", payment_intent=disputed["transactionId"])
            await at.hear()
            after = [await story(at, payment) for payment in (refunded, disputed)]
            assert [len(told["refunds"] + told["disputes"]) for told in (*before, *after)] == [0, 0, 1, 1]

        restore(place)
        async with shop_at(place, clock, there, address) as at:
            await asyncio.to_thread(prove, place)
            assert [await story(at, payment) for payment in (refunded, disputed)] == before
            await read_logs(at.service)
            assert [await story(at, payment) for payment in (refunded, disputed)] == after
            await asyncio.to_thread(prove, place)
        assert there.violations == []
