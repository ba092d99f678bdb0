"""The services that Gongfang runs itself, one class each. What a new one needs: `docs/checklists/add-a-service.md`."""

from gongfang.brokers.kinds.interface import ServiceKind
from gongfang.brokers.kinds.postgresql import PostgreSQL

KINDS: tuple[ServiceKind, ...] = (PostgreSQL(),)

__all__ = ["KINDS"]
