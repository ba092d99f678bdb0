"""One PostgreSQL of the platform's own for all contracts that need rows."""

from tests.api.conftest import postgres_url

__all__ = ["postgres_url"]
