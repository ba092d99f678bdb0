"""Domains and their filing numbers: one spelling, one tenant, one app at a time (5.1(10) to 5.1(12)); and the tree."""

from gongfang.domain.values import JsonObject
from tests.api.conftest import BASE_DOMAIN, Api, World, envelope, new_name


def new_app(client: Api, **more: object) -> JsonObject:
    return client.data("POST", "/apps", 201, json={"name": new_name("a"), **more})


def test_from_binding_to_unbinding(admin: Api) -> None:
    app = new_app(admin)
    name = f"{new_name('mes')}.example.cn"
    body = {"domain": f" {name.upper()}. ", "icp_number": "京ICP备12345678号-1", "app_id": app["id"]}
    domain = admin.data("POST", "/domains", 201, json=body)
    assert (domain["domain"], domain["icp_number"]) == (name, "京ICP备12345678号-1")
    assert (domain["app_id"], domain["status"], domain["tls"]) == (app["id"], "pending", "none")
    assert admin.data("POST", "/domains", 201, json=body)["id"] == domain["id"]  # again: the same
    routes = {r["domain"] for r in admin.data("GET", f"/apps/{app['id']}")["routes"]}
    assert routes == {name, f"{app['name']}.apps.localhost"}
    listed = admin.data("GET", f"/tenants/{domain['tenant_id']}/domains?limit=500")["items"]
    assert domain["id"] in {d["id"] for d in listed}
    other = new_app(admin)
    attached = envelope(admin.put(f"/apps/{other['id']}/domains/{domain['id']}"), 409)
    assert attached["code"] == "domain_attached" and app["name"] in attached["message"]
    assert admin.code("DELETE", f"/apps/{other['id']}/domains/{domain['id']}", 404) == "domain_not_attached"
    admin.data("DELETE", f"/apps/{app['id']}/domains/{domain['id']}")
    assert admin.code("DELETE", f"/apps/{app['id']}/domains/{domain['id']}", 404) == "domain_not_attached"
    free = admin.data("GET", f"/domains/{domain['id']}")
    assert (free["app_id"], free["status"], free["icp_number"]) == (None, "detached", "京ICP备12345678号-1")
    assert admin.data("PUT", f"/apps/{other['name']}/domains/{domain['id']}")["app_id"] == other["id"]
    admin.data("DELETE", f"/domains/{domain['id']}")
    assert admin.code("GET", f"/domains/{domain['id']}", 404) == "domain_not_found"
    tags = [e["tag"] for e in admin.data("GET", f"/events?tag=domain:*&app_id={app['id']}")["items"]]
    assert tags == ["domain:detach", "domain:attach"]


def test_a_domain_in_the_first_call(admin: Api) -> None:
    name = f"{new_name('shop')}.example.cn"
    app = new_app(admin, domain=name)
    assert app["domain"] == name and app["url"] == f"http://{name}:7081/"
    assert admin.code("POST", "/apps", 409, json={"name": new_name("a"), "domain": name}) == "domain_attached"
    assert admin.code("POST", "/apps", 422, json={"name": new_name("a"), "domain": "*.x.cn"}) == "validation_failed"


def test_chinese_names_have_one_spelling(admin: Api) -> None:
    label = new_name("x")
    one = admin.data("POST", "/domains", 201, json={"domain": f"{label}工坊.中国"})
    two = admin.data("POST", "/domains", 201, json={"domain": f"{label.upper()}工坊。中国"})
    assert one["id"] == two["id"] and one["domain"].startswith("xn--") and one["domain"].endswith(".xn--fiqs8s")


def test_the_default_address_goes_with_its_app(admin: Api) -> None:
    app = new_app(admin)
    found = admin.data("GET", "/domains?limit=500")["items"]
    default = next(d for d in found if d["app_id"] == app["id"])
    assert admin.code("DELETE", f"/domains/{default['id']}", 409) == "domain_is_default"
    admin.data("DELETE", f"/apps/{app['id']}/domains/{default['id']}")
    assert admin.data("PUT", f"/apps/{app['id']}/domains/{default['id']}")["status"] == "pending"


def test_names_under_the_base_domain_are_the_apps_own(world: World, admin: Api) -> None:
    space = admin.data("POST", "/spaces", 201, json={"name": new_name("s")})["id"]
    _, operator = world.user([{"role": "operator", "level": "space", "scope_id": space}])
    name = new_name("a")
    host = f"{name}.{BASE_DOMAIN}"
    assert operator.code("POST", "/domains", 403, json={"domain": host.upper()}) == "domain_of_platform"
    made = {"name": new_name("a"), "space_id": space}
    assert operator.code("POST", "/apps", 403, json={**made, "domain": host}) == "domain_of_platform"
    app = operator.data("POST", "/apps", 201, json={"name": name, "space_id": space})
    assert app["domain"] == host and app["note"] is None
    assert operator.data("POST", "/domains", 201, json={"domain": host, "app_id": app["id"]})["app_id"] == app["id"]
    given = admin.data("POST", "/domains", 201, json={"domain": f"{new_name('b')}.{BASE_DOMAIN}"})["domain"]
    late = new_app(admin, name=given.partition(".")[0])
    assert late["domain"] != given
    assert given in late["note"] and late["domain"] in late["note"]


def test_only_web_apps_have_domains(admin: Api) -> None:
    worker = new_app(admin, type="worker")
    assert worker["domain"] is None and worker["routes"] == []
    body = {"domain": f"{new_name('d')}.example.cn", "app_id": worker["id"]}
    assert admin.code("POST", "/domains", 422, json=body) == "validation_failed"
    assert admin.code("POST", "/domains", 422, json=body | {"icp_number": "ICP备1号"}) == "validation_failed"


def test_other_tenants_learn_nothing(world: World, admin: Api) -> None:
    tenant = admin.data("POST", "/tenants", 201, json={"name": new_name("t")})["id"]
    _, stranger = world.user([{"role": "administrator", "level": "tenant", "scope_id": tenant}])
    app = new_app(admin)
    name = f"{new_name('d')}.example.cn"
    domain = admin.data("POST", "/domains", 201, json={"domain": name, "app_id": app["id"]})
    taken = envelope(stranger.post("/domains", json={"domain": name}), 409)
    assert taken["code"] == "domain_taken" and app["name"] not in taken["message"]
    assert stranger.code("GET", f"/domains/{domain['id']}", 404) == "domain_not_found"
    assert stranger.code("DELETE", f"/domains/{domain['id']}", 404) == "domain_not_found"
    assert stranger.code("GET", f"/tenants/{domain['tenant_id']}/domains", 404) == "tenant_not_found"
    assert stranger.code("PUT", f"/apps/{app['id']}/domains/{domain['id']}", 404) == "app_not_found"
    own = stranger.data("POST", "/domains", 201, json={"domain": f"{new_name('d')}.example.cn"})
    assert own["tenant_id"] == tenant
    assert admin.code("PUT", f"/apps/{app['id']}/domains/{own['id']}", 409) == "domain_taken"


def test_people_of_another_space_see_the_name_and_not_the_app(world: World, admin: Api) -> None:
    space = admin.data("POST", "/spaces", 201, json={"name": new_name("s")})["id"]
    _, neighbour = world.user([{"role": "operator", "level": "space", "scope_id": space}])
    app = new_app(admin)
    domain = admin.data("POST", "/domains", 201, json={"domain": f"{new_name('d')}.cn", "app_id": app["id"]})
    assert neighbour.data("GET", f"/domains/{domain['id']}")["app_id"] is None
    assert neighbour.code("DELETE", f"/domains/{domain['id']}", 403) == "forbidden"
    own = new_app(neighbour)
    taken = envelope(neighbour.put(f"/apps/{own['id']}/domains/{domain['id']}"), 409)
    assert taken["code"] == "domain_taken" and app["name"] not in taken["message"]


def test_the_tree(world: World, admin: Api) -> None:
    name = new_name("厂")
    tenant = admin.data("POST", "/tenants", 201, json={"name": name, "timezone": "Europe/Berlin"})
    taken = envelope(admin.post("/tenants", json={"name": name}), 409)
    assert taken["code"] == "name_taken" and name in taken["details"][0]["message"]
    assert admin.code("POST", "/tenants", 422, json={"name": new_name(), "timezone": "Mars/Base"})
    organization = admin.data("POST", "/organizations", 201, json={"name": "总装", "tenant_id": tenant["id"]})
    body = {"name": "一线", "organization_id": organization["id"]}
    space = admin.data("POST", "/spaces", 201, json=body)
    assert admin.code("POST", "/spaces", 409, json=body) == "name_taken"
    full = envelope(admin.delete(f"/tenants/{tenant['id']}"), 409)
    assert full["code"] == "not_empty" and "1 organisation(s), 1 space(s)" in full["message"]
    _, inside = world.user([{"role": "operator", "level": "space", "scope_id": space["id"]}])
    assert new_app(inside)["space_id"] == space["id"]  # the only space they see
    assert admin.data("GET", "/whoami")["default_space_id"] != space["id"]  # of several, the one called default
    assert admin.code("DELETE", f"/spaces/{space['id']}", 409) == "not_empty"
    assert admin.data("PATCH", f"/spaces/{space['id']}", json={"name": "二线"})["name"] == "二线"
    assert admin.code("PATCH", f"/spaces/{space['id']}", 422, json={"timezone": "Asia/Shanghai"})
    assert admin.data("PATCH", f"/tenants/{tenant['id']}", json={"timezone": "Asia/Tokyo"})["timezone"] == "Asia/Tokyo"
    other = admin.data("POST", "/spaces", 201, json={"name": "三线", "organization_id": organization["id"]})
    user_id, both = world.user([{"role": "operator", "level": "organization", "scope_id": organization["id"]}])
    ambiguous = envelope(both.post("/apps", json={"name": new_name("a")}), 422)
    assert ambiguous["details"][0]["field"] == "space_id"
    admin.data("DELETE", f"/spaces/{other['id']}")
    assert both.data("GET", "/whoami")["default_space_id"] == space["id"]
    assert admin.data("GET", f"/organizations?tenant_id={tenant['id']}")["items"] == [organization]
    assert admin.data("GET", f"/users/{user_id}")["roles"][0]["scope_id"] == organization["id"]
