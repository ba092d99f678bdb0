"""Which implementation speaks with which broker."""

from collections.abc import Callable

from gongfang.brokers.interface import Broker
from gongfang.domain.errors import Unavailable
from gongfang.domain.services import BUILTIN, ServiceBroker


class Brokers:
    """`builtin`: our own, in process. `outside`: makes the client of another one; it is kept for as long as address and
    credentials stay."""

    def __init__(self, builtin: Broker, outside: Callable[[ServiceBroker], Broker] | None = None) -> None:
        self.builtin = builtin
        self._outside = outside
        self._known: dict[str, tuple[tuple[str | None, ...], Broker]] = {}

    async def of(self, broker: ServiceBroker) -> Broker:
        if broker.id == BUILTIN:
            return self.builtin
        if self._outside is None:
            raise Unavailable("broker_not_spoken", name=broker.name)
        told = (broker.url, broker.username, broker.password)
        known = self._known.get(broker.id)
        if known is None or known[0] != told:
            known = self._known[broker.id] = told, self._outside(broker)
        return known[1]
