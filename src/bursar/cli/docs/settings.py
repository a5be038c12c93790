"""docs/settings.md: every setting."""

from bursar import settings
from bursar.cli.docs.source import code, table

INTRODUCTION = """
# Settings

Read once from the environment when a process starts. `docs/operating.md` says which of them matter when.
""".strip()


def page() -> str:
    """Every variable with its type, default and meaning."""
    rows = [(code(name), kind, code(default), says) for name, kind, default, says in settings.described()]
    return f"{INTRODUCTION}\n\n{table(('variable', 'type', 'default', 'meaning'), rows)}"
