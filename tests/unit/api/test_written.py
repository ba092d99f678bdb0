"""What is kept of an app's JSON is what would be written anew, whatever of the app has changed since."""

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from gongfang.api.answers import Visit, envelope
from gongfang.api.present import app_out
from gongfang.api.written import Written, WrittenApps, written_page
from gongfang.domain.errors import Reason
from gongfang.domain.messages import LANGUAGES, Language
from gongfang.domain.values import (
    App,
    AppConfig,
    AppType,
    DesiredState,
    Domain,
    ExitInfo,
    Instance,
    InstanceState,
    ProcessConfig,
)
from gongfang.operations.views import AppView
from gongfang.wire.models import AppOut

_TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
_NUMBERS = {"rel_1": 1, "rel_2": 2, "rel_3": 3}
_RELEASES = st.sampled_from(["rel_1", "rel_2", "rel_3", "rel_gone"])
_REASONS = st.none() | st.builds(
    Reason, st.just("readiness_failed"), st.just({"process": "web", "what": "“那”\u2028\x00"})
)

_apps = st.builds(
    App,
    config=st.sampled_from([AppConfig(), AppConfig(processes={"web": ProcessConfig(command="serve", memory_mb=64)})]),
    created_at=_TIMES,
    updated_at=_TIMES,
    reason=_REASONS,
    current_release_id=st.none() | _RELEASES,
    target_release_id=st.none() | _RELEASES,
    scale=st.dictionaries(st.sampled_from(["web", "worker"]), st.integers(0, 9)),
    labels=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)
_instances = st.builds(
    Instance,
    created_at=_TIMES,
    ready_at=st.none() | _TIMES,
    reason=_REASONS,
    release_id=_RELEASES,
    exit=st.none() | st.builds(ExitInfo, st.none() | st.integers(0, 255)),
    last_output=st.none() | st.text(max_size=9),
)
_views = st.builds(
    AppView,
    app=_apps,
    instances=st.lists(_instances, max_size=2).map(tuple),
    domains=st.lists(st.builds(Domain, created_at=_TIMES), max_size=3).map(tuple),
    numbers=st.sets(st.sampled_from(sorted(_NUMBERS))).map(lambda there: {name: _NUMBERS[name] for name in there}),
)


def http(host: str) -> str:
    return f"http://{host}/"


def https(host: str) -> str:
    return f"https://{host}/"


def anew(view: AppView, language: Language) -> bytes:
    return to_json(app_out(view, http, language, https), inf_nan_mode="null")


@st.composite
def changed(draw: Any, view: AppView) -> AppView:
    """The same app later: some of it is the same objects, some is others."""
    other = draw(_views)
    app = draw(st.sampled_from([view.app, dataclasses.replace(other.app, id=view.app.id)]))
    keep = draw(st.integers(0, len(view.instances)))
    instances = (*view.instances[keep:], *draw(st.sampled_from([(), other.instances])))
    domains = draw(st.sampled_from([view.domains, view.domains[1:], other.domains, view.domains[::-1]]))
    return AppView(app, instances, domains, draw(st.sampled_from([view.numbers, other.numbers])))


@settings(max_examples=20, deadline=None)
@given(st.data(), _views)
def test_kept_and_written_anew_are_the_same_field_by_field(data: st.DataObject, view: AppView) -> None:
    written = WrittenApps()
    for _ in range(3):
        for language in LANGUAGES:
            for _again in range(2):
                given_back = written(view, http, language, https)
                assert json.loads(given_back) == json.loads(anew(view, language))
                assert given_back == anew(view, language)
                AppOut.model_validate_json(given_back)
        view = data.draw(changed(view))


def test_what_is_kept_is_not_written_again() -> None:
    written, view = WrittenApps(), _an_app()
    first = written(view, http, "en", https)
    assert written(dataclasses.replace(view, numbers=dict(view.numbers)), http, "en", https) is first
    assert written(view, http, "zh-CN", https) is not first
    assert written(dataclasses.replace(view, app=dataclasses.replace(view.app)), http, "en", https) is not first


def test_the_envelope_around_what_is_written_is_as_around_a_model() -> None:
    view = _an_app()
    visit = Visit("zh-CN", "req_1")
    page = {"items": [app_out(view, http, "zh-CN", https)] * 2, "next_cursor": "abc"}
    as_written = {"items": [anew(view, "zh-CN")] * 2, "next_cursor": "abc"}
    assert envelope(visit, 200, "OK", written_page(as_written)).body == envelope(visit, 200, "OK", page).body
    nothing: dict[str, Any] = {"items": [], "next_cursor": None}
    assert envelope(visit, 200, "OK", written_page(nothing)).body == envelope(visit, 200, "OK", nothing).body
    one = envelope(visit, 200, "OK", Written(anew(view, "zh-CN")))
    assert one.body == envelope(visit, 200, "OK", app_out(view, http, "zh-CN", https)).body


def _an_app() -> AppView:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    app = App(
        "app_1", "spc_1", "ten_1", "org_1", "hello", AppType.web, "python", {"a": "b"}, DesiredState.started,
        {"web": 1}, AppConfig(), "rel_1", 0, 1, at, at,
        reason=Reason("readiness_failed", {"process": "web", "what": "HTTP 503"}),
    )  # fmt: skip
    instance = Instance("ins_1", "app_1", "rel_1", 0, "web", 0, InstanceState.ready, at)
    return AppView(app, (instance,), (), {"rel_1": 1})
