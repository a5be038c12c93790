"""The secrets by which providers sign: a JSON file that is read again when it changes.

`{"stripe": [{"secret": "whsec_…"}, {"secret": "whsec_…", "expires_at": "2026-05-01T00:00:00Z"}]}`: several count at
once, so that one can take over from another; PayPal's are the ids of its webhooks.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import structlog

from bursar.infra import keyfiles

log = structlog.get_logger()


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One secret, never empty: anybody could sign with that. expires_at: from when it counts no more."""

    secret: Annotated[str, msgspec.Meta(min_length=1)]
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None

    def __repr__(self) -> str:
        return "<Secret>"


class SecretFile:
    """The file; where there is none, nobody's signature can be verified."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: float | None = None
        self._secrets: Mapping[str, tuple[Secret, ...]] = {}

    def of(self, provider: str, now: datetime) -> list[str]:
        """The secrets of a provider that count now."""
        self._refresh()
        found = self._secrets.get(provider, ())
        return [each.secret for each in found if each.expires_at is None or each.expires_at > now]

    def providers(self) -> list[str]:
        """Who has secrets."""
        self._refresh()
        return list(self._secrets)

    def _refresh(self) -> None:
        """Read the file again where it has changed; one that is broken changes nothing."""
        try:
            changed_at = keyfiles.changed_at(self._path)
            if changed_at == self._seen:
                return
            self._seen = changed_at
            self._secrets = msgspec.json.decode(self._path.read_bytes(), type=dict[str, tuple[Secret, ...]])
        except FileNotFoundError:
            self._seen, self._secrets = None, {}
        except (OSError, ValueError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
            log.error("webhooks.secrets_unreadable", error=type(error).__name__)
