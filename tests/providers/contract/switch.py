"""An adapter whose provider can be away: for harnesses of adapters that ask over the network."""

from bursar.providers.port import Outcome, PaymentProvider, Request


class Switch:
    """Asks `reached`; for steps in `is_away`, the same adapter pointed at an address where nobody listens."""

    def __init__(self, reached: PaymentProvider, unreached: PaymentProvider) -> None:
        self.is_away: set[type[Request]] = set()
        self._reached, self._unreached = reached, unreached
        self.name, self.method_types, self.requests = reached.name, reached.method_types, reached.requests

    def accepts(self, currency: str) -> bool:
        return self._reached.accepts(currency)

    async def execute(self, request: Request) -> Outcome:
        return await self._for(request).execute(request)

    async def inquire(self, request: Request) -> Outcome:
        return await self._for(request).inquire(request)

    async def close(self) -> None:
        await self._reached.close()
        await self._unreached.close()

    def _for(self, request: Request) -> PaymentProvider:
        return self._unreached if type(request) in self.is_away else self._reached
