"""Serves the bank over HTTP, and carries files: `python -m simulators.bank --ach var/ach --sepa var/sepa`."""

import argparse
import asyncio
import signal
from pathlib import Path

from simulators.bank.carry import Carrier
from simulators.bank.service import provider
from simulators.kit.server import build, serve


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulators.bank", description="A bank that takes files and answers them.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=12_113)
    parser.add_argument("--ach", type=Path, metavar="DIRECTORY", help="with `outgoing` and `incoming` NACHA files")
    parser.add_argument("--sepa", type=Path, metavar="DIRECTORY", help="with `outgoing` and `incoming` SEPA files")
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS", help="how often files are carried")
    return parser.parse_args()


async def _main(arguments: argparse.Namespace) -> None:
    bank = provider()
    carriers = [
        Carrier(bank, directory, rail)
        for directory, rail in ((arguments.ach, ".ach"), (arguments.sepa, ".xml"))
        if directory is not None
    ]
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    print(f"bank: http://{arguments.host}:{arguments.port}\n{bank.about}", flush=True)  # noqa: T201
    serving = asyncio.create_task(serve([(build(bank), arguments.host, arguments.port)], stop))
    while not serving.done():
        for carrier in carriers:
            carrier.carry()  # here, not in a thread: the books are the handlers' too
        await asyncio.wait([serving], timeout=arguments.every)
    await serving


if __name__ == "__main__":
    asyncio.run(_main(_arguments()))
