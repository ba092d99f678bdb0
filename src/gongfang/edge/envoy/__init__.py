"""Envoy as the edge: what it is started with, and the driver that feeds it."""

from gongfang.edge.envoy.config import EnvoyConfig, bootstrap, command
from gongfang.edge.envoy.driver import EnvoyEdge

__all__ = ["EnvoyConfig", "EnvoyEdge", "bootstrap", "command"]
