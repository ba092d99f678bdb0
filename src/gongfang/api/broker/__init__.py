"""What other platforms see of this one: a service broker after the Open Service Broker API 2.17, at `/broker/v2`."""

from gongfang.api.broker.endpoint import BROKER, BrokerEndpoint

__all__ = ["BROKER", "BrokerEndpoint"]
