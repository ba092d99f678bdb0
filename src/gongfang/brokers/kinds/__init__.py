"""The services that Gongfang runs itself, one class each; `docs/checklists/add-a-service.md` tells what is needed."""

from gongfang.brokers.kinds.interface import ServiceKind
from gongfang.brokers.kinds.nats import Nats
from gongfang.brokers.kinds.postgresql import PostgreSQL
from gongfang.brokers.kinds.valkey import Valkey

KINDS: tuple[ServiceKind, ...] = (PostgreSQL(), Valkey(), Nats())

__all__ = ["KINDS"]
