"""The platform of the end-to-end tests serves these too."""

from tests.e2e.conftest import hello, name, platform

__all__ = ["hello", "name", "platform"]
