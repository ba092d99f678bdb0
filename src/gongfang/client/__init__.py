"""The typed client of a Gongfang platform, for programs and for the command line.

    from gongfang.client import Client

    with Client("http://127.0.0.1:7080", token) as gongfang:
        app = gongfang.apps.create("line-3-dashboard", runtime="python")
        gongfang.apps.upload(app.id, "dashboard.zip")
        started = gongfang.apps.start(app.id, wait=120)
        print(started.app.url)
        for line in gongfang.apps.logs(app.id, follow=True):
            print(line.source, line.text)

Every method is an endpoint; answers are the models of `gongfang.wire.models`; errors are the tree of
`gongfang.client.errors`. Lists are fetched as they are read. Importing this package loads nothing: the HTTP library
and the models come in when a name is first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gongfang.client.core import Client as Client
    from gongfang.client.errors import ApiError as ApiError
    from gongfang.client.errors import ClientError as ClientError
    from gongfang.client.errors import ConflictError as ConflictError
    from gongfang.client.errors import ForbiddenError as ForbiddenError
    from gongfang.client.errors import InvalidError as InvalidError
    from gongfang.client.errors import NotFoundError as NotFoundError
    from gongfang.client.errors import PlatformAway as PlatformAway
    from gongfang.client.errors import PreconditionError as PreconditionError
    from gongfang.client.errors import RateLimitedError as RateLimitedError
    from gongfang.client.errors import ServerError as ServerError
    from gongfang.client.errors import TooLargeError as TooLargeError
    from gongfang.client.errors import UnauthenticatedError as UnauthenticatedError
    from gongfang.client.errors import UnavailableError as UnavailableError
    from gongfang.client.http import Answer as Answer
    from gongfang.client.pages import Pages as Pages

_HOME = {
    "Client": "gongfang.client.core",
    "Answer": "gongfang.client.http",
    "Pages": "gongfang.client.pages",
}
_ERRORS = frozenset(
    {
        "ApiError",
        "ClientError",
        "ConflictError",
        "ForbiddenError",
        "InvalidError",
        "NotFoundError",
        "PlatformAway",
        "PreconditionError",
        "RateLimitedError",
        "ServerError",
        "TooLargeError",
        "UnauthenticatedError",
        "UnavailableError",
    }
)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    home = _HOME.get(name) or ("gongfang.client.errors" if name in _ERRORS else None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_ERRORS})
