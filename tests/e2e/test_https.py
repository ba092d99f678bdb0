"""HTTPS as an operator of a plant sets it up: a private authority, the API behind it, and apps behind it."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gongfang.client import Client, PlatformAway
from tests.e2e.conftest import Platform, fresh_home, wait_until
from tests.e2e.https_site import HttpsPlatform, der, get, https_platform, leaf, papers, write
from tests.tls_papers import Authority, authority, key_pem, p256


@pytest.fixture(scope="module")
def ca() -> Authority:
    return authority()


@pytest.fixture(scope="module")
def site(ca: Authority) -> Iterator[HttpsPlatform]:
    with https_platform(ca) as started:
        yield started


def test_the_api_is_behind_https(site: HttpsPlatform, ca: Authority) -> None:
    folder = site.folder
    told = json.loads((site.home / "platform.json").read_text())
    assert told["api_url"] == site.url and told["edge_tls_port"] == site.tls_port
    found = json.loads(site.cli("status", "--json").stdout)
    assert {part["state"] for part in found["parts"]} == {"ok"}
    # By name, with the authority's file; not without it, and not by a name that is not in it.
    by_name = f"https://localhost:{site.api_port}"
    with Client(by_name, site.token, ca=str(folder / "ca.pem"), retries=0) as client:
        assert client.whoami().user.name
    for url, trusted in ((by_name, None), (site.url, str(folder / "ca.pem"))):
        with Client(url, site.token, ca=trusted, retries=0) as client, pytest.raises(PlatformAway) as caught:
            client.whoami()
        assert "CERTIFICATE_VERIFY_FAILED" in caught.value.reason
    with pytest.raises(PlatformAway), Client(f"http://127.0.0.1:{site.api_port}", site.token, retries=0) as client:
        client.whoami()
    # As from another machine: the login keeps the authority's file.
    away = {"GONGFANG_HOME": "", "XDG_CONFIG_HOME": str(folder)}
    remote = HttpsPlatform(site.home, site.api_port, site.edge_port, {**site.environment, **away})
    refused = remote.cli("--url", by_name, "--token", site.token, "whoami", check=False)
    assert refused.returncode == 3 and "--ca" in refused.stderr
    missing = remote.cli("--ca", "/nowhere.pem", "login", by_name, check=False)
    assert missing.returncode == 2 and "/nowhere.pem" in missing.stderr
    broken = remote.cli("--ca", str(folder / "api.key"), "--url", by_name, "whoami", check=False)
    assert broken.returncode == 2 and "PEM" in broken.stderr
    done = subprocess.run(
        [*remote.prefix, "--ca", str(folder / "ca.pem"), "login", by_name, "--with-token", "--name", "plant"],
        env=remote.variables(),
        input=site.token,
        text=True,
        capture_output=True,
        check=True,
    )
    assert "logged in" in done.stderr
    assert remote.cli("whoami").stdout
    # A login saved on the platform's own machine needs no file, and the conformance kit none either.
    here = HttpsPlatform(site.home, site.api_port, site.edge_port, {**site.environment, "XDG_CONFIG_HOME": str(folder)})
    subprocess.run(
        [*here.prefix, "login", site.url, "--with-token", "--name", "here"],
        env=here.variables(),
        input=site.token,
        text=True,
        capture_output=True,
        check=True,
    )
    assert here.cli("--context", "here", "whoami").stdout
    assert here.cli("conformance", "--clause", "5.1(1)").stdout
    told = remote.cli("conformance", "--url", by_name.replace("localhost", "127.0.0.1"), "--token", "x", check=False)
    assert told.returncode == 3 and "--ca" in told.stderr
    assert remote.cli(
        "conformance", "--url", by_name, "--token", site.token, "--ca", str(folder / "ca.pem"), "--clause", "5.1(1)"
    ).stdout
    away_status = remote.cli("--url", site.url, "--token", "x", "status", check=False)
    assert away_status.returncode == 3 and "does not run" not in away_status.stderr
    # Renewed while it runs; a pair that does not fit changes nothing.
    before = leaf(site.api_port, "localhost", ca)
    (folder / "api.key").write_text(key_pem(p256()))
    log = site.home / "logs" / "control.log"
    wait_until(lambda: "was not read again" in log.read_text())
    assert leaf(site.api_port, "localhost", ca) == before
    renewed = ca.sign("localhost")
    write(folder, renewed)
    wait_until(lambda: leaf(site.api_port, "localhost", ca) == der(renewed))
    site.cli("status")


def test_apps_are_behind_https(site: HttpsPlatform, ca: Authority, hello: Path, tmp_path: Path) -> None:
    site.cli("deploy", "--app", "shop", cwd=hello)
    host, own = site.host("shop"), "shop.example.cn"
    assert leaf(site.tls_port, host, ca) is None
    made = site.json("certificates", "add", *papers(tmp_path, ca.sign("*.apps.localhost")), "--platform")
    wait_until(lambda: leaf(site.tls_port, host, ca) is not None)
    assert get(site, host, ca)[0] == 200 and site.get(host)[0] == 200
    site.cli("domains", "add", own, "--app", "shop")
    uploaded = site.json("certificates", "add", *papers(tmp_path, ca.sign(own, days=20)))
    site.cli("domains", "https", own, "redirect", "--hsts", "1h")
    wait_until(lambda: site.get(own)[0] == 308)
    assert site.get(own)[1]["location"] == f"https://{own}:{site.tls_port}/"
    status, headers, page = get(site, own, ca)
    assert (status, headers["strict-transport-security"]) == (200, "max-age=3600") and page.startswith(b"v1")
    listed = {c["id"]: c for c in site.json("certificates")}
    assert listed[uploaded["id"]]["state"] == "expiring" and listed[uploaded["id"]]["domains"] == [own]
    assert host in listed[made["id"]]["domains"]


def test_files_that_do_not_fit_are_told_at_the_start(ca: Authority, tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text(ca.sign("localhost").chain)
    (tmp_path / "k.pem").write_text(key_pem(p256()))
    files = {"CERT": tmp_path / "c.pem", "KEY": tmp_path / "k.pem"}
    environment = {f"GONGFANG_API_TLS_{which}": str(file) for which, file in files.items()}
    other = Platform(fresh_home(), environment=environment)
    done = other.cli("up", check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "does not belong" in said and "Traceback" not in said
    assert other.processes() == []
    shutil.rmtree(other.home.parent)
