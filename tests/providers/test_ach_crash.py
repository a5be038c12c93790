"""A process that exchanges files is killed (SIGKILL) at every point that matters; the next one goes on."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from bursar.providers.ach.nacha import read
from bursar.providers.bank import store
from bursar.providers.bank.courier import Courier
from bursar.providers.bank.folder import Folder, digest_of
from bursar.providers.port import Declined
from tests.providers.bank_setting import Bank, authorization, entries_of, opened, payout, returned
from tests.support.service import eventually

ROOT: Final = Path(__file__).parents[2]
AFTER_CUTOFF: Final = datetime(2026, 11, 30, 22, tzinfo=UTC)
COUNT: Final = 5


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def torn(folder: Folder, name: str, content: bytes) -> str:
    """Half of the text is on the disk."""
    (folder.outgoing / f".{name}.ach.part").write_bytes(content[: len(content) // 2])
    die()
    return ""


def dies_after(original: Callable[..., Any]) -> Callable[..., Any]:
    def done(*args: Any, **named: Any) -> Any:
        original(*args, **named)
        die()

    return done


def dies_after_awaiting(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def done(*args: Any, **named: Any) -> Any:
        await original(*args, **named)
        die()

    return done


POINTS: Final[dict[str, tuple[Any, str, Any]]] = {
    # when: (where, what, instead of it)
    "while it cuts": (store, "cut", dies_after_awaiting(store.cut)),
    "after it cut": (Courier, "_cut", dies_after_awaiting(Courier._cut)),
    "while it writes": (Folder, "prepare", torn),
    "after it wrote": (Folder, "prepare", dies_after(Folder.prepare)),
    "after it noted that it wrote": (store, "mark_prepared", dies_after_awaiting(store.mark_prepared)),
    "before the file appears": (Folder, "release", lambda *_: die()),
    "after the file appeared": (Folder, "release", dies_after(Folder.release)),
    "while it notes that the file appeared": (store, "mark_written", dies_after_awaiting(store.mark_written)),
    "while it reads": (store, "note", dies_after_awaiting(store.note)),
    "after it read": (Folder, "put_away", lambda *_: die()),
}


async def exchange_and_die(url: str, directory: str, point: str) -> None:
    """What the process does that is killed."""
    where, what, instead = POINTS[point]
    setattr(where, what, instead)
    async with opened(url, Path(directory)) as bank:
        bank.clock.at = AFTER_CUTOFF
        await bank.exchange()


async def killed(url: str, directory: Path, point: str) -> None:
    """Let another process exchange files until it dies."""
    code = f"import asyncio, sys; from {__name__} import exchange_and_die; asyncio.run(exchange_and_die(*sys.argv[1:]))"
    process = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code, url, str(directory), point],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL, process.stdout + process.stderr


@pytest.fixture
async def bank(database_url: str, tmp_path: Path) -> AsyncIterator[Bank]:
    async with opened(database_url, tmp_path) as opened_bank:
        for number in range(COUNT):
            await opened_bank.do(authorization(100 + number, capture=True))
        opened_bank.clock.at = AFTER_CUTOFF
        yield opened_bank


async def go_on(bank: Bank) -> None:
    """Exchange until all is written; the dead process's lock goes with its connection, a moment later."""

    async def is_written() -> bool:
        await bank.exchange()
        return [row[0] for row in await bank.rows("select status from bank_files")] == ["WRITTEN"]

    await eventually(is_written, 60)


@pytest.mark.parametrize("point", list(POINTS)[:8])
@pytest.mark.parametrize("is_taken", [False, True])
async def test_one_file_with_every_entry_once(
    bank: Bank, database_url: str, tmp_path: Path, point: str, is_taken: bool
) -> None:
    await killed(database_url, tmp_path, point)
    files = bank.outgoing()
    if is_taken:  # whoever carries files to the bank was quicker than we are
        for path in (bank.directory / "outgoing").glob("[!.]*"):
            path.unlink()
    await go_on(bank)
    files += [content for content in bank.outgoing() if is_taken or content not in files]
    assert len(files) == 1 and read(files[0])
    assert sorted(entry.amount for entry in entries_of(*files)) == [100 + number for number in range(COUNT)]
    assert [row[0] for row in await bank.rows("select digest from bank_files")] == [digest_of(files[0])]
    traces = [row[0] for row in await bank.rows("select trace_number from bank_entries order by trace_number")]
    assert traces == sorted(entry.trace_number for entry in entries_of(*files))
    assert list((bank.directory / "outgoing").glob(".*")) == []


@pytest.mark.parametrize("point", list(POINTS)[8:])
async def test_what_came_counts_once(bank: Bank, database_url: str, tmp_path: Path, point: str) -> None:
    request = payout(7)
    await bank.do(request)
    await bank.pass_days(1)
    bank.clock.at = datetime(2026, 12, 1, 22, tzinfo=UTC)
    file = await bank.send() if len(entries_of(*bank.outgoing())) == COUNT else bank.outgoing()[-1]
    sent = next(entry for entry in entries_of(file) if entry.amount == 7)
    bank.bring("back.ach", returned(file, sent, "R03"))
    await killed(database_url, tmp_path, point)

    async def is_away() -> bool:
        await bank.exchange()
        return not list((bank.directory / "incoming").glob("*.ach"))

    await eventually(is_away, 60)
    assert [row[0] for row in await bank.rows("select code from bank_notices")] == ["R03"]
    assert isinstance(await bank.ask(request), Declined)
