"""Settings as they are read, handed to a child process, and compared with those that a platform runs with."""

import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError
from pydantic_settings import SettingsError

from gongfang.domain.errors import Invalid
from gongfang.domain.messages import CATALOGUE, words
from gongfang.main.terminal import language
from gongfang.settings import Settings

_FIELD = re.compile(r'field "(\w+)"')
_PATHS = ("home", "api_tls_cert", "api_tls_key")


def read_settings() -> Settings:
    """The settings. Raises `Invalid("setting_wrong")` naming the variable, and what form it has with an example; its
    value is not shown: it may be secret."""
    try:
        return Settings()
    except SettingsError as error:
        found = _FIELD.search(str(error))
        raise _wrong(found.group(1) if found else "*", str(error)) from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise _wrong(str(first["loc"][0]) if first["loc"] else "*", first["msg"]) from None


def _wrong(field: str, otherwise: str) -> Invalid:
    code = next((code for code, fields in _FORMS.items() if field in fields), "setting_form_number")
    if field not in Settings.model_fields or code not in CATALOGUE:
        form = otherwise
    else:
        form = words(code, {"example": _example(field)}, language())
    return Invalid("setting_wrong", variable=f"GONGFANG_{field.upper()}", what=form)


def _example(field: str) -> str:
    default = Settings.model_fields[field].default
    return str(default) if default is not None and default != "" else _EXAMPLES.get(field, "10")


_EXAMPLES = {"edge_tls_port": "7443"}
_FORMS: Mapping[str, tuple[str, ...]] = {
    "setting_form_port": ("api_port", "edge_port", "edge_tls_port"),
    "setting_form_path": _PATHS,
    "setting_form_icp": ("icp",),
    "setting_form_log_level": ("log_level",),
    "setting_form_bool": ("webhook_private",),
    "setting_form_networks": ("trusted_proxies",),
    "setting_form_range": ("port_range", "service_port_range"),
    "setting_form_size": ("disk_warn", "disk_refuse", "cache_limit", "log_limit"),
    "setting_form_database": ("database_url",),
    "setting_form_days": ("event_retention_days",),
    "setting_form_text": ("api_host", "edge_host", "base_domain"),
}


def environment_of(settings: Settings) -> dict[str, str]:
    """This process's environment for a child that works in another folder: its paths are absolute."""
    paths = {f"GONGFANG_{name.upper()}": getattr(settings, name) for name in _PATHS}
    return {**os.environ, **{name: str(path) for name, path in paths.items() if path is not None}}


def digests(settings: Settings) -> dict[str, Any]:
    """One digest a setting, with a salt of this file alone, so that two can be compared and none be read."""
    salt = secrets.token_hex(16)
    return {"salt": salt, "of": {name: _digest(salt, getattr(settings, name)) for name in Settings.model_fields}}


def changed(settings: Settings, told: object) -> list[str]:
    """Variables whose values are others than those that `digests` told of; none where nothing was told (a platform that
    an older version started), or of settings that it did not know."""
    known: dict[str, Any] = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    salt, of = known.get("salt"), known.get("of")
    if not isinstance(salt, str) or not isinstance(of, dict):
        return []
    return [
        f"GONGFANG_{name.upper()}"
        for name in Settings.model_fields
        if name in of and of[name] != _digest(salt, getattr(settings, name))
    ]


def _digest(salt: str, value: object) -> str:
    return hashlib.sha256(f"{salt}:{value!s}".encode()).hexdigest()[:24]
