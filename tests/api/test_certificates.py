"""Certificates over the API: who may, what is kept and shown; and what the reconcilers make of them."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from gongfang.domain.certificates import Certificate
from gongfang.domain.policies import IcpPolicy
from gongfang.domain.values import Domain, JsonObject
from gongfang.edge.memory import MemoryEdge
from gongfang.reconcile.https import ExpiryWatch, HttpsReconciler
from tests.api.conftest import BASE_DOMAIN, Api, World, envelope, new_name
from tests.tls_papers import DAY, Paper, authority, key_pem, now, p256

CA = authority()


@pytest.fixture
def tenant(admin: Api) -> str:
    return admin.data("POST", "/tenants", 201, json={"name": new_name("t")})["id"]


def bound(admin: Api, tenant: str, **more: object) -> JsonObject:
    name = f"{new_name('d')}.example.cn"
    return admin.data("POST", "/domains", 201, json={"domain": name, "tenant_id": tenant, **more})


def upload(client: Api, paper: Paper, **more: object) -> JsonObject:
    return client.data("POST", "/certificates", 201, json=body(paper, **more))


def body(paper: Paper, **more: object) -> JsonObject:
    return {"certificate": paper.chain, "private_key": paper.key_pem, **more}


def fault(client: Api, method: str, path: str, json: JsonObject) -> str:
    """The words about the one field at fault."""
    (detail,) = envelope(client.request(method, path, json=json), 422)["details"]
    return detail["message"]


def test_a_life(admin: Api, tenant: str) -> None:
    domain = bound(admin, tenant)
    paper = CA.sign(domain["domain"], "*.line.example.cn")
    made = upload(admin, paper, tenant_id=tenant)
    assert made["names"] == [domain["domain"], "*.line.example.cn"]
    assert (made["state"], made["tenant_id"], made["key_type"]) == ("active", tenant, "EC P-256")
    assert 88 <= made["days_left"] <= 89
    assert admin.data("GET", f"/certificates/{made['id']}")["fingerprint"] == made["fingerprint"]
    assert [c["id"] for c in admin.data("GET", f"/certificates?tenant_id={tenant}")["items"]] == [made["id"]]
    known = envelope(admin.post("/certificates", json=body(paper, tenant_id=tenant)), 409)
    assert known["code"] == "certificate_known" and made["id"] in known["message"]
    renewed = CA.sign(domain["domain"], days=200)
    changed = admin.data("PUT", f"/certificates/{made['id']}", json=body(renewed))
    assert changed["id"] == made["id"] and changed["fingerprint"] != made["fingerprint"]
    assert admin.data("PUT", f"/certificates/{made['id']}", json=body(renewed))["names"] == [domain["domain"]]
    admin.data("DELETE", f"/certificates/{made['id']}")
    for method in ("GET", "DELETE"):
        assert admin.code(method, f"/certificates/{made['id']}", 404) == "certificate_not_found"
    assert admin.code("PUT", f"/certificates/{made['id']}", 404, json=body(renewed)) == "certificate_not_found"
    tags = [e["tag"] for e in admin.data("GET", "/events?tag=certificate:*")["items"] if e["object_id"] == made["id"]]
    assert tags == ["certificate:delete", "certificate:replace", "certificate:replace", "certificate:add"]


def test_mistakes_change_nothing_and_have_words_of_their_own(admin: Api, tenant: str) -> None:
    domain = bound(admin, tenant)["domain"]
    good = CA.sign(domain)
    wrong = {
        "matches": body(CA.sign("other.example.cn")),
        "one label": body(CA.sign(f"*.{domain}")),
        "does not belong": {**body(good), "private_key": key_pem(p256())},
        "encrypted": {**body(good), "private_key": key_pem(good.key, b"secret")},
        "ended on": body(CA.sign(domain, begins=now() - 9 * DAY, days=1)),
        "no certificate": {**body(good), "certificate": "hello"},
    }
    wrong["matches"], matches = wrong["one label"], wrong.pop("matches")
    for words, sent in [*wrong.items(), ("none of the tenant's domains", matches)]:
        said = fault(admin, "POST", "/certificates", {**sent, "tenant_id": tenant})
        assert words in said or "none of the tenant's domains" in said, said
        assert "secret" not in said and "PRIVATE" not in said
    assert admin.data("GET", f"/certificates?tenant_id={tenant}")["items"] == []
    made = upload(admin, good, tenant_id=tenant)
    for sent in wrong.values():
        fault(admin, "PUT", f"/certificates/{made['id']}", sent)
    assert admin.data("GET", f"/certificates/{made['id']}")["fingerprint"] == made["fingerprint"]
    for sent in ({}, {"certificate": 5, "private_key": []}, {**body(good), "passphrase": "x"}):
        answer = admin.post("/certificates", json=sent)
        assert answer.status_code == 422
        assert good.key_pem.splitlines()[1] not in answer.text


def test_the_key_is_shown_nowhere_and_sealed(admin: Api, tenant: str, postgres_url: str) -> None:
    domain = bound(admin, tenant)["domain"]
    paper = CA.sign(domain)
    headers = {"idempotency-key": new_name("k")}
    answer = admin.post("/certificates", json=body(paper, tenant_id=tenant), headers=headers)
    line = paper.key_pem.splitlines()[1]
    seen = [answer.text, admin.get(f"/certificates/{answer.json()['data']['id']}").text]
    seen += [admin.get("/events").text, admin.get("/openapi.json").text]

    async def everything() -> list[str]:
        engine = create_async_engine(postgres_url)
        try:
            async with engine.connect() as connection:
                names = await connection.execute(
                    text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
                )
                return [
                    str((await connection.execute(text(f'SELECT * FROM "{name}"'))).all()) for (name,) in names.all()
                ]
        finally:
            await engine.dispose()

    seen += asyncio.run(everything())
    assert len(seen) > 15
    assert not any(line in place for place in seen)
    assert any(paper.chain.splitlines()[1] in place for place in seen)


def test_one_tenants_certificate_is_not_another_ones_business(world: World, admin: Api, tenant: str) -> None:
    domain = bound(admin, tenant)
    made = upload(admin, CA.sign(domain["domain"]), tenant_id=tenant)
    other = admin.data("POST", "/tenants", 201, json={"name": new_name("t")})["id"]
    _, outsider = world.user([{"role": "administrator", "level": "tenant", "scope_id": other}])
    assert outsider.data("GET", "/certificates")["items"] == []
    assert outsider.code("GET", f"/certificates/{made['id']}", 404) == "certificate_not_found"
    assert outsider.code("GET", f"/certificates?tenant_id={tenant}", 404) == "tenant_not_found"
    # A certificate for the other's name is of no use, and says no more than that.
    said = fault(outsider, "POST", "/certificates", body(CA.sign(domain["domain"]), tenant_id=other))
    assert "none of the tenant's domains" in said
    assert outsider.code("POST", "/certificates", 403, json=body(CA.sign("x.cn"), platform=True)) == (
        "certificate_platform_only"
    )
    assert admin.code("DELETE", f"/tenants/{tenant}", 409) == "not_empty"
    admin.data("DELETE", f"/domains/{domain['id']}")
    admin.data("DELETE", f"/tenants/{tenant}")  # takes its certificates with it
    assert admin.code("GET", f"/certificates/{made['id']}", 404) == "certificate_not_found"


def test_covering_an_app_of_others_takes_their_permission(world: World, admin: Api, tenant: str) -> None:
    organization = admin.data("POST", "/organizations", 201, json={"name": "o", "tenant_id": tenant})["id"]
    spaces = [
        admin.data("POST", "/spaces", 201, json={"name": name, "organization_id": organization})["id"]
        for name in ("one", "two")
    ]
    app = admin.data("POST", "/apps", 201, json={"name": new_name("a"), "space_id": spaces[1]})
    zone = f"{new_name('z')}.cn"
    for name in (f"free.{zone}", f"taken.{zone}"):
        more = {"app_id": app["id"]} if name.startswith("taken") else {"tenant_id": tenant}
        admin.data("POST", "/domains", 201, json={"domain": name, **more})
    _, operator = world.user([{"role": "operator", "level": "space", "scope_id": spaces[0]}])
    made = upload(operator, CA.sign(f"free.{zone}"), tenant_id=tenant)
    refused = envelope(operator.post("/certificates", json=body(CA.sign(f"*.{zone}"), tenant_id=tenant)), 403)
    assert refused["code"] == "certificate_covers_others" and f"taken.{zone}" in refused["message"]
    assert operator.code("PUT", f"/certificates/{made['id']}", 403, json=body(CA.sign(f"*.{zone}"))) == (
        "certificate_covers_others"
    )
    wide = upload(admin, CA.sign(f"*.{zone}"), tenant_id=tenant)
    assert operator.code("DELETE", f"/certificates/{wide['id']}", 403) == "certificate_covers_others"


def test_the_platforms_own(admin: Api) -> None:
    said = fault(admin, "POST", "/certificates", body(CA.sign("mes.example.cn"), platform=True))
    assert f"*.{BASE_DOMAIN}" in said
    made = upload(admin, CA.sign(f"*.{BASE_DOMAIN}"), platform=True)
    assert made["tenant_id"] is None
    assert made["id"] in {c["id"] for c in admin.data("GET", "/certificates?limit=500")["items"]}
    admin.data("DELETE", f"/certificates/{made['id']}")


def test_addresses_under_the_base_domain_are_the_platforms(world: World, admin: Api) -> None:
    there = Edge(world)
    paper = CA.sign(f"*.{BASE_DOMAIN}")
    platform = upload(admin, paper, platform=True)
    space = admin.data("POST", "/spaces", 201, json={"name": new_name("s")})
    app = admin.data("POST", "/apps", 201, json={"name": new_name("a"), "space_id": space["id"]})
    host = app["routes"][0]["domain"]
    other = admin.data("POST", "/apps", 201, json={"name": new_name("a")})["routes"][0]["domain"]
    _, operator = world.user([{"role": "operator", "level": "space", "scope_id": space["id"]}])
    for names in ([f"*.{BASE_DOMAIN}"], [host, f"*.{BASE_DOMAIN}"], [host, f"later.{BASE_DOMAIN}"], [BASE_DOMAIN]):
        said = fault(operator, "POST", "/certificates", body(CA.sign(*names)))
        assert "are the platform's" in said and "--platform" in said
    refused = envelope(operator.post("/certificates", json=body(CA.sign(host, other))), 403)
    assert refused["code"] == "certificate_covers_others"
    own = CA.sign(host)
    made = upload(operator, own)
    there.settle()
    assert (there.shown(host), there.shown(other)) == (own.chain, paper.chain)
    assert "are the platform's" in fault(
        operator, "PUT", f"/certificates/{made['id']}", body(CA.sign(f"*.{BASE_DOMAIN}"))
    )
    assert operator.code("PUT", f"/certificates/{made['id']}", 403, json=body(CA.sign(host, other))) == (
        "certificate_covers_others"
    )
    assert operator.code("PUT", f"/certificates/{platform['id']}", 404, json=body(own)) == "certificate_not_found"
    for certificate in (made, platform):
        admin.data("DELETE", f"/certificates/{certificate['id']}")


def test_replacing_leaves_no_domain_bare_unless_that_is_meant(admin: Api, tenant: str) -> None:
    one, two = (bound(admin, tenant)["domain"] for _ in range(2))
    made = upload(admin, CA.sign(one, two), tenant_id=tenant)
    path = f"/certificates/{made['id']}"
    refused = envelope(admin.put(path, json=body(CA.sign(two))), 409)
    assert refused["code"] == "certificate_loses" and one in refused["message"] and "--force" in refused["message"]
    beside = upload(admin, CA.sign(one), tenant_id=tenant)
    admin.data("PUT", path, json=body(CA.sign(two)))  # the other one goes on
    admin.data("PUT", path, json=body(CA.sign(one, two, days=100)))
    admin.data("DELETE", f"/certificates/{beside['id']}")
    admin.data("PUT", path, json=body(CA.sign(two), force=True))
    told = admin.data("GET", "/events?tag=certificate:*")["items"][0]["data"]
    assert (told["domains"], told["lost"]) == ([two], [one])


def test_how_a_domain_is_served(admin: Api, tenant: str) -> None:
    domain = bound(admin, tenant)
    assert (domain["https"], domain["hsts_max_age_s"], domain["certificate_id"]) == ("optional", None, None)
    path = f"/domains/{domain['id']}"
    changed = admin.data("PATCH", path, json={"https": "redirect", "hsts_max_age_s": 60, "hsts_subdomains": True})
    assert (changed["https"], changed["hsts_max_age_s"], changed["hsts_subdomains"]) == ("redirect", 60, True)
    assert admin.data("PATCH", path, json={}) == changed
    assert "HTTPS is off" in fault(admin, "PATCH", path, {"https": "off"})
    off = admin.data("PATCH", path, json={"https": "off", "hsts_max_age_s": None})
    assert (off["https"], off["hsts_max_age_s"], off["hsts_subdomains"]) == ("off", None, False)
    assert "hsts_max_age_s" in fault(admin, "PATCH", path, {"hsts_subdomains": True, "https": "optional"})
    for wrong in ({"https": "on"}, {"hsts_max_age_s": -1}, {"hsts_max_age_s": 1 << 40}, {"tls": "active"}):
        assert admin.patch(path, json=wrong).status_code == 422
    assert admin.data("GET", path)["https"] == "off"


@pytest.fixture
def policy(world: World) -> Iterator[World]:
    """The policy is the services' and frozen: replaced for a test, as a restart with another setting would."""
    yield world
    object.__setattr__(world.services, "icp", IcpPolicy.optional)


def test_icp_required(policy: World, admin: Api, tenant: str) -> None:
    early = bound(admin, tenant)
    object.__setattr__(policy.services, "icp", IcpPolicy.required)
    name = f"{new_name('d')}.cn"
    said = fault(admin, "POST", "/domains", {"domain": name, "tenant_id": tenant})
    assert name in said and "ICP" in said
    app = admin.data("POST", "/apps", 201, json={"name": new_name("a")})  # its default address is exempt
    assert app["routes"]
    other = admin.data("POST", "/apps", 201, json={"name": new_name("a"), "domain": f"x-{new_name()}.{BASE_DOMAIN}"})
    assert len(other["routes"]) == 2
    assert admin.code("POST", "/apps", 409, json={"name": new_name("a"), "domain": name}) == "icp_required_attach"
    with_number = {"domain": name, "icp_number": "京ICP备12345678号", "app_id": app["id"]}
    assert admin.data("POST", "/domains", 201, json=with_number)["app_id"] == app["id"]
    # One that was bound before the policy came can't be attached until its number is given.
    organization = admin.data("POST", "/organizations", 201, json={"name": "o", "tenant_id": tenant})["id"]
    space = admin.data("POST", "/spaces", 201, json={"name": "s", "organization_id": organization})["id"]
    own = admin.data("POST", "/apps", 201, json={"name": new_name("a"), "space_id": space})
    assert admin.code("PUT", f"/apps/{own['id']}/domains/{early['id']}", 409) == "icp_required_attach"
    admin.data(
        "POST", "/domains", 201, json={"domain": early["domain"], "icp_number": "沪ICP备1号-2", "tenant_id": tenant}
    )
    assert admin.data("PUT", f"/apps/{own['id']}/domains/{early['id']}")["app_id"] == own["id"]


def test_icp_absent(policy: World, admin: Api, tenant: str) -> None:
    object.__setattr__(policy.services, "icp", IcpPolicy.absent)
    assert bound(admin, tenant, icp_number="京ICP备12345678号")["icp_number"] is None
    assert (
        "icp_number"
        in envelope(
            admin.post("/domains", json={"domain": "x.cn", "tenant_id": tenant, "icp_number": "nonsense"}), 422
        )["details"][0]["field"]
    )


# --- what is made of them ----------------------------------------------------------------------------------------


class Edge:
    """The reconcilers over the API's database and an edge in memory."""

    def __init__(self, world: World, *, enabled: bool = True) -> None:
        self.world = world
        self.edge = MemoryEdge()
        self.https = HttpsReconciler(world.services.database, self.edge, world.clock, BASE_DOMAIN, enabled=enabled)
        self.expiry = ExpiryWatch(world.services.database, world.clock)

    def settle(self) -> None:
        async def work() -> None:
            for domain_id in await self.https.to_look_at():
                await self.https(domain_id)
            for certificate_id in await self.expiry.all():
                await self.expiry(certificate_id)
            assert await self.https.to_look_at() == []

        self.world.do(work())

    def shown(self, host: str) -> str | None:
        found = self.edge.certificates.get(host)
        return found.chain if found else None


def test_domains_are_served_with_the_best(world: World, admin: Api, tenant: str) -> None:
    there = Edge(world)
    domain = bound(admin, tenant)
    host, path = domain["domain"], f"/domains/{domain['id']}"
    there.settle()
    assert there.shown(host) is None and admin.data("GET", path)["tls"] == "none"
    wild = CA.sign("*.example.cn", days=300)
    first = upload(admin, wild, tenant_id=tenant)
    there.settle()
    seen = admin.data("GET", path)
    assert (seen["tls"], seen["certificate_id"], seen["expires_at"]) == ("active", first["id"], first["not_after"])
    assert there.shown(host) == wild.chain
    assert admin.data("GET", f"/certificates/{first['id']}")["domains"] == [host]
    exact = CA.sign(host, days=20)
    second = upload(admin, exact, tenant_id=tenant)
    there.settle()
    seen = admin.data("GET", path)
    assert (seen["tls"], seen["certificate_id"]) == ("expiring", second["id"])
    assert there.shown(host) == exact.chain
    world.clock.ahead = timedelta(days=25)
    there.settle()
    assert admin.data("GET", path)["certificate_id"] == first["id"] and there.shown(host) == wild.chain
    admin.data("DELETE", f"/certificates/{first['id']}")
    there.settle()
    assert admin.data("GET", path)["tls"] == "expired" and there.shown(host) == exact.chain
    admin.data("PATCH", path, json={"https": "off"})
    there.settle()
    assert admin.data("GET", path)["tls"] == "none" and there.shown(host) is None
    admin.data("PATCH", path, json={"https": "optional"})
    there.settle()
    # A control plane that comes back gives the edge the same, and has nothing left to do.
    again = Edge(world)
    assert world.do(again.https.at_start())[host].chain == exact.chain
    assert world.do(again.https.to_look_at()) == []
    admin.data("DELETE", path)
    there.settle()
    assert there.shown(host) is None
    # Without a port for it, nothing is said to be served.
    other = bound(admin, tenant)
    upload(admin, CA.sign(other["domain"]), tenant_id=tenant)
    there.settle()
    assert admin.data("GET", f"/domains/{other['id']}")["tls"] == "active"
    Edge(world, enabled=False).settle()
    assert admin.data("GET", f"/domains/{other['id']}")["tls"] == "none"


def test_the_platforms_wildcard_serves_default_addresses(world: World, admin: Api) -> None:
    there = Edge(world)
    paper = CA.sign(f"*.{BASE_DOMAIN}")
    made = upload(admin, paper, platform=True)
    app = admin.data("POST", "/apps", 201, json={"name": new_name("a")})
    there.settle()
    host = app["routes"][0]["domain"]
    assert there.shown(host) == paper.chain
    # Renamed: the new address is served, and the old one no more.
    renamed = admin.data("PATCH", f"/apps/{app['id']}", json={"name": new_name("b")})["routes"][0]["domain"]
    there.settle()
    assert there.shown(renamed) == paper.chain and there.shown(host) is None
    admin.data("DELETE", f"/certificates/{made['id']}")
    there.settle()
    assert there.shown(renamed) is None


def test_it_is_warned_once_each(world: World, admin: Api, tenant: str) -> None:
    domain = bound(admin, tenant)
    made = upload(admin, CA.sign(domain["domain"], begins=now(), days=40), tenant_id=tenant)

    def told() -> list[tuple[str, int]]:
        Edge(world).settle()  # a new one each time: what was told is remembered in the database alone
        events = admin.data(
            "GET", f"/events?limit=500&tag=certificate:exp*&since={made['created_at'].replace('+', '%2B')}"
        )
        return [(e["tag"], e["data"]["days"]) for e in events["items"][::-1] if e["object_id"] == made["id"]]

    expected: list[tuple[str, int]] = []
    assert told() == expected
    for ahead, days in ((11, 30), (27, 14), (27.5, None), (34, 7), (10, None), (39.5, 1), (41, 0), (60, None)):
        world.clock.ahead = timedelta(days=ahead)
        if days is not None:
            expected.append(("certificate:expired" if days == 0 else "certificate:expiring", days))
        assert told() == expected
        assert told() == expected
    assert admin.data("GET", f"/certificates/{made['id']}")["state"] == "expired"
    world.clock.ahead = timedelta()
    admin.data("PUT", f"/certificates/{made['id']}", json=body(CA.sign(domain["domain"], days=400)))
    assert told() == expected

    async def stored() -> tuple[Certificate | None, Domain | None]:
        async with world.services.database.reading() as tx:
            return await tx.one(Certificate, made["id"]), await tx.one(Domain, domain["id"])

    certificate, _ = world.do(stored())
    assert certificate is not None and certificate.told is None
    assert replace(certificate, told=30).id == made["id"]
