"""The services that Gongfang runs itself, one class each. `docs/checklists/add-a-service.md` says what a new one needs."""

from gongfang.brokers.kinds.interface import ServiceKind
from gongfang.brokers.kinds.postgresql import PostgreSQL

KINDS: tuple[ServiceKind, ...] = (PostgreSQL(),)

__all__ = ["KINDS"]
