"""Carries files between the bank and a pair of directories: `outgoing` to the bank, its answers to `incoming`."""

from pathlib import Path
from typing import Final

from simulators.bank.nacha import Refused
from simulators.bank.service import Bank

SUFFIXES: Final = (".ach", ".xml")


class Carrier:
    """directory: has `outgoing` and `incoming`; what was taken away goes to `taken`, what the bank refused to
    `not-taken` with its reason beside it. rail: `.ach` or `.xml`: which answers belong here.
    """

    def __init__(self, bank: Bank, directory: Path, rail: str) -> None:
        assert rail in SUFFIXES, rail
        self._bank = bank
        self._rail = rail
        self.outgoing, self.incoming = directory / "outgoing", directory / "incoming"
        self.taken, self.not_taken = directory / "taken", directory / "not-taken"
        self._brought: set[str] = set()
        for each in (self.outgoing, self.incoming, self.taken, self.not_taken):
            each.mkdir(parents=True, exist_ok=True)

    def carry(self) -> int:
        """Once there and back. Returns how many files were carried."""
        count = 0
        for path in sorted(self.outgoing.glob(f"[!.]*{self._rail}")):
            self._take_away(path)
            count += 1
        for out in self._bank.answers():
            if out.name.endswith(self._rail) and out.name not in self._brought:
                part = self.incoming / f".{out.name}.part"
                part.write_text(out.content, encoding="utf-8")
                part.rename(self.incoming / out.name)
                self._brought.add(out.name)
                count += 1
        return count

    def _take_away(self, path: Path) -> None:
        try:
            self._bank.take(path.read_text(encoding="utf-8"), path.name)
        except (Refused, ValueError) as fault:
            (self.not_taken / f"{path.name}.reason").write_text(f"{fault}\n", encoding="utf-8")
            path.rename(self.not_taken / path.name)
        else:
            path.rename(self.taken / path.name)
