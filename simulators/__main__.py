"""Serves the simulators side by side: `python -m simulators [NAME …]`, until it is interrupted."""

import argparse
import asyncio
import importlib
import importlib.util
import signal
from typing import Final

from simulators.kit.faults import Kind
from simulators.kit.provider import Provider
from simulators.kit.server import Application, build, serve

SIMULATORS: Final[dict[str, tuple[str, int]]] = {
    # name: (module, port); the module has `provider(*, seed: int) -> Provider`
    "stripe": ("simulators.stripe", 12_111),
    "paypal": ("simulators.paypal", 12_112),
    "bank": ("simulators.bank", 12_113),
    "kyc": ("simulators.kyc", 12_114),
}


def known() -> list[str]:
    """The names of the simulators that are there."""
    return [name for name, (module, _) in SIMULATORS.items() if importlib.util.find_spec(module)]


def make(name: str, *, seed: int = 0) -> Provider:
    """A new simulator's provider, with empty books."""
    made: Provider = importlib.import_module(SIMULATORS[name][0]).provider(seed=seed)
    return made


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulators", description="Stand-ins for payment providers, a bank and KYC.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which to serve; all by default: {', '.join(known())}"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", action="append", default=[], metavar="NAME=PORT", help="instead of the usual one")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    kinds = ", ".join(Kind)
    parser.add_argument("--fault", action="append", default=[], metavar="KIND=RATE", help=f"kinds: {kinds}")
    parser.add_argument("--webhook", action="append", default=[], metavar="NAME=URL", help="where its webhooks go")
    parser.add_argument("--webhook-secret", action="append", default=[], metavar="NAME=SECRET")
    return parser.parse_args()


def _pairs(options: list[str]) -> dict[str, str]:
    """`["stripe=1"]` as {"stripe": "1"}."""
    return {name: value for name, _, value in (option.partition("=") for option in options)}


async def _serve(arguments: argparse.Namespace) -> None:
    ports, rates = _pairs(arguments.port), _pairs(arguments.fault)
    webhooks, secrets = _pairs(arguments.webhook), _pairs(arguments.webhook_secret)
    apps: list[tuple[Application, str, int]] = []
    for name in arguments.names or known():
        provider = make(name, seed=arguments.seed)
        provider.faults.set(rates={Kind(kind): float(rate) for kind, rate in rates.items()})
        provider.webhooks.url = webhooks.get(name)
        provider.webhooks.secret = secrets.get(name, provider.webhooks.secret)
        port = int(ports.get(name, SIMULATORS[name][1]))
        apps.append((build(provider), arguments.host, port))
        print(f"{name}: http://{arguments.host}:{port}\n{provider.about}", flush=True)  # noqa: T201
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await serve(apps, stop)


if __name__ == "__main__":
    asyncio.run(_serve(_arguments()))
