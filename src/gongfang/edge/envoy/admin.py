"""Reads from Envoy's admin socket the one thing that discovery does not tell: how many requests are being answered.

Admin calls run on Envoy's main thread and hold up changes for as long as they take; one cluster by filter is cheap.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from gongfang.domain.errors import Unavailable


class Admin:
    def __init__(self, socket: Path) -> None:
        transport = httpx2.AsyncHTTPTransport(uds=str(socket))
        self._client = httpx2.AsyncClient(transport=transport, base_url="http://envoy", timeout=5.0, trust_env=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def active_requests(self, cluster: str) -> dict[tuple[str, int], int]:
        """By address, of the clusters whose name fits the regular expression. Raises `Unavailable`."""
        try:
            response = await self._client.get("/clusters", params={"format": "json", "filter": cluster})
            response.raise_for_status()
        except httpx2.HTTPError as error:
            raise Unavailable("edge_unreadable", detail=str(error) or type(error).__name__) from error
        return _active(response.json(), re.compile(cluster))


def _active(answer: Mapping[str, Any], cluster: re.Pattern[str]) -> dict[tuple[str, int], int]:
    counts: dict[tuple[str, int], int] = {}
    for status in answer.get("cluster_statuses", ()):
        if not cluster.search(status["name"]):
            continue  # an Envoy that does not know the filter tells of all
        for host in status.get("host_statuses", ()):
            address = host["address"]["socket_address"]
            active = sum(int(stat.get("value", 0)) for stat in host["stats"] if stat["name"] == "rq_active")
            counts[address["address"], address["port_value"]] = active
    return counts
