"""From a domain's row to what the edge wants of its clients."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gongfang.domain.policies import HttpsMode
from gongfang.domain.values import Domain, DomainStatus, TlsState
from gongfang.edge.interface import EdgeHttps
from gongfang.reconcile.apps import edge_https

DOMAIN = Domain("d", "t", "a.cn", None, "app", DomainStatus.active, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("state", list(TlsState))
def test_redirected_only_while_a_valid_certificate_is_served(state: TlsState) -> None:
    domain = replace(DOMAIN, tls=state, https=HttpsMode.redirect, hsts_max_age_s=60)
    good = state in (TlsState.active, TlsState.expiring)
    assert edge_https(domain, 443) == (EdgeHttps("a.cn", 443, "max-age=60") if good else None)
    assert edge_https(domain, None) is None
    assert edge_https(replace(domain, https=HttpsMode.off), 443) is None


def test_hsts_by_choice() -> None:
    domain = replace(DOMAIN, tls=TlsState.active)
    assert edge_https(domain, 443) is None
    assert edge_https(replace(domain, hsts_max_age_s=0), 443) == EdgeHttps("a.cn", None, "max-age=0")
    both = replace(domain, hsts_max_age_s=5, hsts_subdomains=True)
    assert edge_https(both, 443) == EdgeHttps("a.cn", None, "max-age=5; includeSubDomains")
