"""The client: one object, one platform, one caller. See the package's docstring for how it reads in use."""

from typing import Any, Self

import httpx2

from gongfang.client.http import Answer, Http, Params
from gongfang.client.resources.apps import Apps
from gongfang.client.resources.certificates import Certificates
from gongfang.client.resources.egress import Egress
from gongfang.client.resources.housekeeping import Housekeeping
from gongfang.client.resources.people import Tokens, Users
from gongfang.client.resources.quotas import Quotas
from gongfang.client.resources.services import Bindings, Services
from gongfang.client.resources.tree import Domains, Organizations, Spaces, Tenants
from gongfang.client.resources.webhooks import Webhooks
from gongfang.client.resources.work import Builds, Events, Operations, Tasks
from gongfang.wire.models import PlatformOut, TokenOut, WhoAmI


class Client:
    """A platform, as one caller sees it. Safe to share between threads; close it, or use it with `with`."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        language: str = "zh-CN",
        timeout: float = 30.0,
        retries: int = 4,
        transport: httpx2.BaseTransport | None = None,
        ca: str | None = None,
        pinned: str | None = None,
    ) -> None:
        """`url`: the platform's address without `/api/v1`. `token`: what `login` or `tokens.create` gave.

        `language`: of the platform's messages (`zh-CN` or `en`). `timeout`: seconds for connecting and for each piece
        of an answer. `retries`: how often a call is repeated that did not get through. `transport`: in place of the
        network, for tests. `ca`: a PEM file of authorities to trust beside the machine's own. `pinned`: a PEM file with
        the only certificate to trust, by whatever name.
        """
        self.http = Http(
            url,
            token,
            language=language,
            timeout=timeout,
            retries=retries,
            transport=transport,
            ca=ca,
            pinned=pinned,
        )
        self.apps = Apps(self.http)
        self.builds = Builds(self.http)
        self.tasks = Tasks(self.http)
        self.operations = Operations(self.http)
        self.events = Events(self.http)
        self.webhooks = Webhooks(self.http)
        self.domains = Domains(self.http)
        self.certificates = Certificates(self.http)
        self.tenants = Tenants(self.http)
        self.organizations = Organizations(self.http)
        self.spaces = Spaces(self.http)
        self.egress = Egress(self.http)
        self.quotas = Quotas(self.http)
        self.services = Services(self.http)
        self.bindings = Bindings(self.http)
        self.users = Users(self.http)
        self.tokens = Tokens(self.http)
        self.housekeeping = Housekeeping(self.http)

    @property
    def url(self) -> str:
        return self.http.url

    def login(self, username: str, password: str, *, name: str = "login", expires_in_s: int | None = None) -> TokenOut:
        """A fresh token for a user, in `token` of the answer. This client goes on with the token that it has."""
        body: dict[str, Any] = {"username": username, "password": password, "name": name}
        if expires_in_s is not None:
            body["expires_in_s"] = expires_in_s
        return TokenOut.model_validate(self.http.call("POST", "/auth/login", json=body).data)

    def whoami(self) -> WhoAmI:
        return WhoAmI.model_validate(self.http.call("GET", "/whoami").data)

    def platform(self) -> PlatformOut:
        """The platform's parts, what it can't enforce on its machine, and where its apps answer."""
        return PlatformOut.model_validate(self.http.call("GET", "/platform").data)

    def ready(self) -> dict[str, Any]:
        """`/readyz`: `{"status", "checks"}`. Raises `UnavailableError` (with the same in `data`) where it is not."""
        return dict(self.http.call("GET", "//readyz").data)

    def healthy(self) -> dict[str, Any]:
        """`/healthz`: whether the control plane itself answers."""
        return dict(self.http.call("GET", "//healthz").data)

    def request(self, method: str, path: str, *, params: Params | None = None, json: Any = None) -> Answer:
        """Any endpoint by its path under `/api/v1` (with `//` in front: from the root), with the same retries."""
        return self.http.call(method.upper(), path, params=params, json=json)

    def close(self) -> None:
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
