"""A platform that speaks, and a client of it."""

from collections.abc import Iterator

import pytest

from gongfang.client import Client
from tests.unit.client.speaking_platform import Platform, speaking


@pytest.fixture
def platform() -> Iterator[Platform]:
    with speaking() as found:
        yield found


@pytest.fixture
def client(platform: Platform) -> Iterator[Client]:
    with Client(platform.url, "good", language="en", retries=3) as made:
        yield made
