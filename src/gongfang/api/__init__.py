"""The HTTP API: thin over `operations`. `create_api` makes the application, from an `ApiServices` that `main` fills."""

from gongfang.api.app import create_api
from gongfang.api.services import ApiServices, PlatformPart, PlatformState

__all__ = ["ApiServices", "PlatformPart", "PlatformState", "create_api"]
