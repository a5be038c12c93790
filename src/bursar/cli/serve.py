"""`bursar serve`: PostgreSQL, the API and a worker, started together and stopped in order."""

import socket
import sys
import time
import urllib.request
from collections.abc import Callable

import msgspec

from bursar.cli.database import migrate_or_fail, shown
from bursar.infra import embedded
from bursar.infra.supervise import Part, supervise
from bursar.settings import Settings, SettingsError, hand_down

FIRST_PAYMENT = """\
TOKEN={token}
API={base}/api/v1/payments/core
ID=$(curl -sS $API -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
  -H 'Idempotency-Key: order-1' \\
  -d '{{"orderId": "order-1", "customerId": "customer-1", "amount": 1999, "currency": "EUR",
       "paymentMethodId": "pm_sandbox_visa"}}' | sed 's/^{{"id":"\\([^"]*\\)".*/\\1/')
curl -sS -X PUT $API/$ID/authorize -H "Authorization: Bearer $TOKEN"; echo
curl -sS -X PUT $API/$ID/capture -H "Authorization: Bearer $TOKEN"; echo
"""


def serve(settings: Settings) -> int:
    """Run until a signal comes. Returns the exit code."""
    started = time.perf_counter()
    _refuse_taken_port(settings)
    server = None if settings.database_url else embedded.start(settings.data_path)
    try:
        url = settings.database_url or (server.url if server else "")
        migrate_or_fail(settings, url)
        hand_down(msgspec.structs.replace(settings, database_url=url))
        base = settings.address
        parts = [
            Part("api", [sys.executable, "-m", "bursar", "api"], is_ready=lambda: _answers(f"{base}/readyz")),
            Part("worker", [sys.executable, "-m", "bursar", "worker"]),
        ]
        return supervise(
            parts,
            on_ready=_greeting(settings, base, url, started),
            tend=server.revive if server else None,
            stop=server.stop if server else None,
        )
    finally:
        if server is not None:
            server.stop()


def _refuse_taken_port(settings: Settings) -> None:
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OverflowError as error:
            raise SettingsError(f"{settings.port} is no port") from error
        except OSError as error:
            raise SettingsError(f"port {settings.port} on {settings.host} cannot be used: {error.strerror}") from error


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310  our own address
            return bool(answer.status == 200)
    except OSError:
        return False


def _greeting(settings: Settings, base: str, url: str, started: float) -> Callable[[], None]:
    def greet() -> None:
        seconds = time.perf_counter() - started
        from bursar.cli.tokens import make_token

        print(f"Bursar listens on {base}   (ready after {seconds:.1f} s; database {shown(url)})")
        print(f"  documentation  {base}/docs   {base}/openapi.json")
        if settings.jwt_key or settings.jwks:
            print("  tokens         from your issuer (BURSAR_JWT_KEY or BURSAR_JWKS)")
            return
        token = make_token(settings, roles="admin", customer_id=None, vendor_id=None, subject=None, days=30)
        print(f"  admin token    {token}\n")
        print(FIRST_PAYMENT.format(token=token, base=base))
        print("Ctrl-C stops all of it.", flush=True)

    return greet
