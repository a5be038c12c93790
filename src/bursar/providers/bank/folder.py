"""The two directories that a rail shares with whatever carries files to the bank and back.

`outgoing/`: a file appears in it whole, under its name, once; until then it is hidden beside it (`.name.part`). Whoever
carries it may take it away at any time. `incoming/`: whoever brings files has to let them appear whole too; what was
read goes to `incoming/done/`, what cannot be to `incoming/refused/` with the reason beside it. Every worker has to see
the same directories. All of this blocks: call it in a thread.
"""

import hashlib
import os
from pathlib import Path

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


class Folder:
    """suffix: of the names of files, `.ach`."""

    def __init__(self, directory: Path, suffix: str) -> None:
        self.outgoing = directory / "outgoing"
        self.incoming = directory / "incoming"
        self.done = self.incoming / "done"
        self.refused = self.incoming / "refused"
        self._suffix = suffix

    def make(self) -> None:
        """Make the directories, where they are missing. They hold account numbers: nobody else may look."""
        for directory in (self.outgoing, self.incoming, self.done, self.refused):
            directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)

    def prepare(self, name: str, content: bytes) -> str:
        """Put a file's text on the disk, hidden. Returns its digest once it is safe there."""
        part = self._part(name)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        _sync(self.outgoing)
        return digest_of(content)

    def release(self, name: str) -> bool:
        """Let a prepared file appear. False where that was done before: a rename happens once, and leaves no part."""
        try:
            self._part(name).rename(self.outgoing / (name + self._suffix))
        except FileNotFoundError:
            return False
        _sync(self.outgoing)
        return True

    def waiting(self) -> list[Path]:
        """What has come, by name. What is hidden is on its way yet."""
        return sorted(path for path in self.incoming.glob(f"[!.]*{self._suffix}") if path.is_file())

    def put_away(self, path: Path) -> None:
        """A file was read."""
        path.rename(_free(self.done, path.name))

    def refuse(self, path: Path, reason: str) -> Path:
        """A file cannot be read. Returns where it lies now; the reason lies beside it."""
        target = _free(self.refused, path.name)
        target.with_name(target.name + ".reason").write_text(reason + "\n", encoding="utf-8")
        path.rename(target)
        return target

    def _part(self, name: str) -> Path:
        return self.outgoing / f".{name}{self._suffix}.part"


def digest_of(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _free(directory: Path, name: str) -> Path:
    """A name that is free: a bank may send other files under one that it has used."""
    path, number = directory / name, 1
    while path.exists():
        number += 1
        path = directory / f"{name}.{number}"
    return path


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
