"""What several kinds have in common: ids of the catalogue, schemas, names of users, and that storage only grows."""

import re
from uuid import NAMESPACE_DNS, uuid5

from gongfang.brokers.kinds.interface import Seed, Wanted
from gongfang.domain.errors import Rejected
from gongfang.domain.values import JsonObject

_DRAFT = "http://json-schema.org/draft-07/schema#"
_USER = re.compile(r"b_[0-9a-f]{12}")


def catalog_id(name: str) -> str:
    """The same on every machine and every day: other platforms keep it."""
    return str(uuid5(NAMESPACE_DNS, f"{name}.gongfang"))


def object_schema(properties: JsonObject) -> JsonObject:
    return {"$schema": _DRAFT, "type": "object", "additionalProperties": False, "properties": properties}


def schemas(instance: JsonObject, binding: JsonObject) -> JsonObject:
    """A plan's: what an instance may be made with is what it may be changed to."""
    whole = {"parameters": object_schema(instance)}
    return {
        "service_instance": {"create": whole, "update": whole},
        "service_binding": {"create": {"parameters": object_schema(binding)}},
    }


def user_of(seed: Seed) -> str:
    """The name goes into commands and files as it is: it has to be one of ours."""
    user = str(seed.secret["username"])
    if _USER.fullmatch(user) is None:
        raise Rejected("service_seed_invalid")
    return user


def only_grows(before: Wanted, after: Wanted) -> None:
    """Raises `Rejected` where the wanted plan has less storage than there is now."""
    if after.size.storage_mb < before.size.storage_mb:
        raise Rejected(
            "service_cannot_shrink", plan=after.plan, storage_mb=after.size.storage_mb, now=before.size.storage_mb
        )
