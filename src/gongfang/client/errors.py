"""What a call may raise. Light on purpose: catching an error must not load the HTTP library.

ClientError
├── PlatformAway          no answer: refused, unreachable, timed out, or broken off and not to be repeated
└── ApiError              the platform answered, and said no
    ├── UnauthenticatedError   401   no token, or a wrong or expired one
    ├── ForbiddenError         403   known, but not allowed
    ├── NotFoundError          404   not there, or not for the caller to know
    ├── ConflictError          409   right in itself, but not in the present state
    ├── PreconditionError      412   somebody else changed it first (`if_match`)
    ├── TooLargeError          413   over the limit
    ├── InvalidError           400, 422   a value at fault (`details`), or the reason an awaited operation failed
    ├── RateLimitedError       429   too often
    ├── UnavailableError       502, 503, 504   not now
    └── ServerError            any other 5xx: the platform's own fault; its log knows `request_id`
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One field at fault, as the platform worded it."""

    field: str
    message: str


class ClientError(Exception):
    """Anything that the client raises by itself."""


class PlatformAway(ClientError):
    """Nobody answered at `url`. `reason` is the network's own word for it."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no answer from {url}: {reason}")
        self.url = url
        self.reason = reason


class ApiError(ClientError):
    """The platform said no. `code` is stable; `message` says what to do, in the client's language."""

    def __init__(
        self,
        code: str,
        message: str,
        status: int,
        *,
        details: tuple[FieldFault, ...] = (),
        request_id: str = "",
        data: Any = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message, status)
        self.code = code
        self.message = message
        self.status = status
        self.details = details
        self.request_id = request_id
        self.data = data
        self.retry_after = retry_after

    def __str__(self) -> str:
        faults = "".join(f"; {fault.field}: {fault.message}" for fault in self.details)
        return f"{self.message} ({self.code}, HTTP {self.status}){faults}"


class UnauthenticatedError(ApiError):
    """401: no token, or a wrong, expired or revoked one."""


class ForbiddenError(ApiError):
    """403: the caller is known, and may not do this."""


class NotFoundError(ApiError):
    """404: it is not there, or the caller may not know that it is."""


class ConflictError(ApiError):
    """409: not in the present state; also an awaited operation that was cancelled (`operation_cancelled`)."""


class PreconditionError(ApiError):
    """412: it was changed since its `ETag` was read."""


class TooLargeError(ApiError):
    """413: over the platform's limit."""


class InvalidError(ApiError):
    """400 or 422: `details` names the fields at fault; or the reason that an awaited operation failed with."""


class RateLimitedError(ApiError):
    """429: too many calls; `retry_after` seconds, where the platform says."""


class UnavailableError(ApiError):
    """502, 503 or 504: not now."""


class ServerError(ApiError):
    """The platform failed at this itself."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidError,
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    412: PreconditionError,
    413: TooLargeError,
    422: InvalidError,
    429: RateLimitedError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}


def error_class(status: int) -> type[ApiError]:
    """The class of errors with this HTTP status."""
    return _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
