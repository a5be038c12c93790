"""The database that a command works on: a configured one, the embedded one that runs already, or the embedded one for
its time.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from bursar.cli import fail
from bursar.infra import embedded
from bursar.infra.migrate import MigrationError, migrate
from bursar.settings import Settings

REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.CannotConnectNowError,
)


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The URL of a database to work on; one that cannot be used for that ends the command with one line."""
    with _running(settings) as url:
        try:
            yield url
        except asyncpg.UndefinedTableError:
            fail(f"the database at {shown(url)} is not Bursar's, or not up to date: `bursar migrate` makes it so")
        except REFUSED as error:
            fail(f"the database at {shown(url)} refused: {error}")
        except (OSError, TimeoutError) as error:
            fail(f"the database at {shown(url)} cannot be reached: {error}")


@contextmanager
def _running(settings: Settings) -> Iterator[str]:
    if settings.database_url:
        yield settings.database_url
        return
    url = embedded.running(settings.data_path)
    if url is not None:
        yield url
        return
    server = embedded.start(settings.data_path)
    try:
        yield server.url
    finally:
        server.stop()


def migrate_or_fail(settings: Settings, url: str) -> list[str]:
    """Migrate; a database that cannot be reached or migrated ends the command with one line."""
    try:
        return asyncio.run(migrate(url, role=settings.database_role, vault_role=settings.vault_role))
    except MigrationError as error:
        fail(str(error))
    except asyncpg.PostgresError as error:
        fail(f"the database at {shown(url)} refused: {error}")
    except (OSError, TimeoutError, ValueError) as error:
        fail(f"the database at {shown(url)} cannot be reached: {error}")


def shown(url: str) -> str:
    """The URL without its password."""
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if at else url
