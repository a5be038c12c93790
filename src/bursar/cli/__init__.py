"""The command line: `bursar serve | api | worker | migrate | token | demo | ledger verify | events replay | vault … |
states | openapi | docs`.

Commands import what they need when they run, so that the supervisor stays small and quick to start.
"""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from bursar.infra.embedded import EmbeddedError
from bursar.settings import Settings, SettingsError, from_environment

cli = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="The Bursar payment service."
)
ledger = typer.Typer(no_args_is_help=True, help="The ledger.")
events = typer.Typer(no_args_is_help=True, help="The history of events.")
vault = typer.Typer(no_args_is_help=True, help="The vault's keys.")
cli.add_typer(ledger, name="ledger")
cli.add_typer(events, name="events")
cli.add_typer(vault, name="vault")

DataDir = Annotated[str | None, typer.Option("--data-dir", help="Where the embedded database and the keys lie.")]


def main() -> None:
    """Run a command; what a person can mend is one clear line, not a trace."""
    try:
        cli(standalone_mode=True)
    except (SettingsError, EmbeddedError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def fail(line: str) -> NoReturn:
    """End with one line on standard error."""
    print(f"bursar: {line}", file=sys.stderr)
    sys.exit(1)


def settings_of(data_dir: str | None, **overrides: Any) -> Settings:
    """The settings with a command's options over them."""
    return from_environment(data_dir=None if data_dir is None else str(Path(data_dir).absolute()), **overrides)


@cli.command()
def serve(
    port: Annotated[int | None, typer.Option(help="Port of the API.")] = None,
    host: Annotated[str | None, typer.Option(help="Address of the API.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Start everything: PostgreSQL unless BURSAR_DATABASE_URL names one, the API, a worker."""
    from bursar.cli.serve import serve as run

    sys.exit(run(settings_of(data_dir, port=port, host=host)))


@cli.command()
def api(data_dir: DataDir = None) -> None:
    """Start the API alone, on the database of BURSAR_DATABASE_URL."""
    from bursar.cli.processes import run_api

    run_api(settings_of(data_dir))


@cli.command()
def worker(data_dir: DataDir = None) -> None:
    """Start a worker alone, on the database of BURSAR_DATABASE_URL."""
    from bursar.cli.processes import run_worker

    run_worker(settings_of(data_dir))


@cli.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring the database up to date."""
    from bursar.cli.database import database, migrate_or_fail

    settings = settings_of(data_dir)
    with database(settings) as url:
        applied = migrate_or_fail(settings, url)
    print(f"applied: {', '.join(applied)}" if applied else "nothing to apply")


@cli.command()
def token(
    roles: Annotated[str, typer.Option(help="Comma-separated.")] = "admin",
    customer_id: Annotated[str | None, typer.Option(help="The customer that the caller is.")] = None,
    vendor_id: Annotated[str | None, typer.Option(help="The vendor that the caller is.")] = None,
    subject: Annotated[str | None, typer.Option(help="Who calls; the role where absent.")] = None,
    days: Annotated[float, typer.Option(help="For how long.")] = 30,
    data_dir: DataDir = None,
) -> None:
    """Print a bearer token signed with the data directory's own key; its last line is the bare token."""
    from bursar.cli.tokens import make_token

    print(
        make_token(
            settings_of(data_dir), roles=roles, customer_id=customer_id, vendor_id=vendor_id, subject=subject, days=days
        )
    )


@cli.command()
def demo(
    orders: Annotated[Path | None, typer.Option(help="A CSV of orders; a few hundred come with the project.")] = None,
    limit: Annotated[int | None, typer.Option(help="How many orders at the most.")] = None,
    connections: Annotated[int, typer.Option(help="Checkouts at a time.")] = 16,
    data_dir: DataDir = None,
) -> None:
    """Drive a stream of orders through checkouts over HTTP, then show money, latencies and the verified ledger."""
    from bursar.cli.demo import run_demo

    sys.exit(run_demo(settings_of(data_dir), orders=orders, limit=limit, connections=connections))


@ledger.command("verify")
def ledger_verify(data_dir: DataDir = None) -> None:
    """Prove the ledger over the whole database; ends non-zero on any fault."""
    from bursar.cli.database import database
    from bursar.cli.verify import verify

    settings = settings_of(data_dir)
    with database(settings) as url:
        sys.exit(asyncio.run(verify(settings, url)))


@events.command("replay")
def events_replay(data_dir: DataDir = None) -> None:
    """Rebuild every object from its events in a shadow schema and compare; ends non-zero on any difference."""
    from bursar.cli.database import database
    from bursar.cli.replay import replay

    with database(settings_of(data_dir)) as url:
        sys.exit(asyncio.run(replay(url)))


@vault.command("rotate")
def vault_rotate(data_dir: DataDir = None) -> None:
    """Re-wrap every record under a new key while the service runs; goes on where it was stopped."""
    from bursar.cli.vault import rotate

    rotate(settings_of(data_dir))


@vault.command("retire")
def vault_retire(data_dir: DataDir = None) -> None:
    """Take the key versions that wrap nothing any more out of the key file."""
    from bursar.cli.vault import retire

    retire(settings_of(data_dir))


@vault.command("show")
def vault_show(data_dir: DataDir = None) -> None:
    """Print how many records each key version wraps."""
    from bursar.cli.vault import show

    show(settings_of(data_dir))


@vault.command("renew-entry-key")
def vault_renew_entry_key(
    overlap_hours: Annotated[int, typer.Option(help="How long a key that was superseded still opens.")] = 48,
    data_dir: DataDir = None,
) -> None:
    """Hand out a new public key for `card.jwe` from now on."""
    from bursar.cli.vault import renew_entry_key

    renew_entry_key(settings_of(data_dir), overlap_hours=overlap_hours)


@cli.command()
def states() -> None:
    """Draw the state machines as Mermaid diagrams."""
    from bursar.cli.docs import states as drawn

    print(drawn())


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    from bursar.cli.docs import openapi as document

    print(document())


@cli.command()
def docs(
    check: Annotated[bool, typer.Option("--check", help="Fail where a file is stale; write nothing.")] = False,
) -> None:
    """Write the generated pages under docs/."""
    from bursar.cli.docs import write_docs

    stale = write_docs(check=check)
    if stale and check:
        fail(f"stale, run script/bursar docs: {', '.join(stale)}")
