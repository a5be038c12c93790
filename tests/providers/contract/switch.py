"""An adapter whose provider can be away: for harnesses of adapters that ask over the network."""

from bursar.providers.port import Outcome, PaymentProvider, Request


class Switch:
    """Asks `reached`; for steps in `is_away`, the same adapter pointed at an address where nobody listens. Steps in
    `is_hurried` are carried out by the same adapter, which does not wait long for an answer.
    """

    def __init__(self, reached: PaymentProvider, hurried: PaymentProvider, unreached: PaymentProvider) -> None:
        self.is_away: set[type[Request]] = set()
        self.is_hurried: set[type[Request]] = set()
        self._reached, self._hurried, self._unreached = reached, hurried, unreached
        self.name, self.method_types, self.requests = reached.name, reached.method_types, reached.requests

    def accepts(self, currency: str) -> bool:
        return self._reached.accepts(currency)

    async def execute(self, request: Request) -> Outcome:
        if type(request) in self.is_hurried:
            return await self._hurried.execute(request)
        return await self._for(request).execute(request)

    async def inquire(self, request: Request) -> Outcome:
        return await self._for(request).inquire(request)

    async def close(self) -> None:
        for adapter in (self._reached, self._hurried, self._unreached):
            await adapter.close()

    def _for(self, request: Request) -> PaymentProvider:
        return self._unreached if type(request) in self.is_away else self._reached
