"""Middleware: the catalogue, what organisations may use, service instances, and bindings of apps."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gongfang.client.pages import Pages
from gongfang.client.resources import logs
from gongfang.client.resources.base import Resource, given, part
from gongfang.wire.models import LogLine, OnlyOperation, OperationOut
from gongfang.wire.services import (
    BindingOut,
    BindingWithOperation,
    BoundEnvironmentOut,
    CatalogueOut,
    ServiceInstanceOut,
    ServiceOut,
    ServiceStatusOut,
    ServiceWithOperation,
)


class Services(Resource):
    """`client.services`. A service instance is named by its id, or by its name where you see only one of it."""

    def catalogue(self, *, page_size: int | None = None) -> Pages[CatalogueOut]:
        """What the platform itself runs."""
        return self._list("/services", CatalogueOut, page_size=page_size)

    # --- of an organisation ---

    def enable(self, organization_id: str, name: str, *, plans: Sequence[str] | None = None) -> ServiceOut:
        """5.4(1) 服务接入: brings a service into an organisation, with all its plans or those named."""
        path = f"/organizations/{part(organization_id)}/services"
        return self._post(path, ServiceOut, given(name=name, plans=plans))

    def disable(self, organization_id: str, service: str) -> None:
        """By the service's id or name. Refused while there are instances of it."""
        self._delete(f"/organizations/{part(organization_id)}/services/{part(service)}")

    def enabled(self, organization_id: str, *, page_size: int | None = None) -> Pages[ServiceOut]:
        return self._list(f"/organizations/{part(organization_id)}/services", ServiceOut, page_size=page_size)

    # --- instances ---

    def create(
        self,
        space_id: str,
        service: str,
        *,
        name: str | None = None,
        plan: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        wait: float | None = None,
    ) -> ServiceWithOperation:
        """5.4(2) 创建服务. Without a plan: the first of the catalogue; without a name: the service's own."""
        body = given(service=service, name=name, plan=plan, parameters=parameters, tags=tags)
        return self._post(f"/spaces/{part(space_id)}/service-instances", ServiceWithOperation, body, wait=wait)

    def list(
        self,
        *,
        space_id: str | None = None,
        organization_id: str | None = None,
        service: str | None = None,
        state: str | None = None,
        name: str | None = None,
        page_size: int | None = None,
    ) -> Pages[ServiceInstanceOut]:
        params = {
            "space_id": space_id,
            "organization_id": organization_id,
            "service": service,
            "state": state,
            "name": name,
        }
        return self._list("/service-instances", ServiceInstanceOut, params, page_size)

    def get(self, service: str) -> ServiceInstanceOut:
        return self._get(f"/service-instances/{part(service)}", ServiceInstanceOut)

    def configure(
        self,
        service: str,
        *,
        plan: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        wait: float | None = None,
        if_match: str | None = None,
    ) -> ServiceWithOperation:
        """5.4(3) 服务配置: another plan, and parameters merged with those that hold; None removes one."""
        path = f"/service-instances/{part(service)}/configuration"
        body = given(plan=plan, parameters=dict(parameters) if parameters is not None else None)
        answer = self._http.call("POST", path, json=body, wait=wait, if_match=if_match)
        return ServiceWithOperation.model_validate(answer.data)

    def delete(
        self, service: str, *, force: bool = False, wait: float | None = None, if_match: str | None = None
    ) -> OperationOut:
        """5.4(5) 删除服务, with all its data. `force`: unbinds it from its apps first."""
        params = {"force": force or None}
        path = f"/service-instances/{part(service)}"
        answer = self._http.call("DELETE", path, params=params, wait=wait, if_match=if_match)
        return OnlyOperation.model_validate(answer.data).operation

    def status(self, service: str) -> ServiceStatusOut:
        """5.4(6) 服务运行状态: where it answers, and what it takes."""
        return self._get(f"/service-instances/{part(service)}/status", ServiceStatusOut)

    def log(self, service: str, *, tail: int | None = None, follow: bool = False) -> Iterator[LogLine]:
        """Of its server, since that was started last; with `follow`, as it comes."""
        path = f"/service-instances/{part(service)}/log"
        return (logs.follow if follow else logs.read)(self._http, path, {"tail": tail})

    def bindings(self, service: str, *, page_size: int | None = None) -> Pages[BindingOut]:
        return self._list(f"/service-instances/{part(service)}/bindings", BindingOut, page_size=page_size)


class Bindings(Resource):
    """`client.bindings`: apps bound to service instances."""

    def create(
        self,
        app: str,
        service: str,
        *,
        name: str | None = None,
        variables: Mapping[str, str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        wait: float | None = None,
    ) -> BindingWithOperation:
        """5.1(8) 服务绑定. `variables`: variable → key of the credentials, in place of the service's own names."""
        body = given(service_instance_id=service, name=name, variables=variables, parameters=parameters)
        return self._post(f"/apps/{part(app)}/bindings", BindingWithOperation, body, wait=wait)

    def list(self, app: str, *, page_size: int | None = None) -> Pages[BindingOut]:
        return self._list(f"/apps/{part(app)}/bindings", BindingOut, page_size=page_size)

    def get(self, app: str, service: str) -> BindingOut:
        return self._get(f"/apps/{part(app)}/bindings/{part(service)}", BindingOut)

    def delete(self, app: str, service: str, *, wait: float | None = None, if_match: str | None = None) -> OperationOut:
        """5.1(9) 服务解绑定: its credentials and connections end at once."""
        path = f"/apps/{part(app)}/bindings/{part(service)}"
        answer = self._http.call("DELETE", path, wait=wait, if_match=if_match)
        return OnlyOperation.model_validate(answer.data).operation

    def environment(self, app: str, service: str) -> BoundEnvironmentOut:
        """5.4(4) 获取环境变量: what the app gets of the binding."""
        return self._get(f"/apps/{part(app)}/services/{part(service)}/environment", BoundEnvironmentOut)
