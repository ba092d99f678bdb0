"""What the platform says of its upkeep: what was cleared away, and which keys were rotated."""

from datetime import datetime

from pydantic import Field

from gongfang.wire.models import Answer


class GcItemOut(Answer):
    """One thing that was removed, or would be."""

    kind: str = Field(
        description="release, package, droplet, build; blob (a stored file), unpacked (a droplet's folder), cache; "
        "operations, answers (the id is how many)"
    )
    id: str
    app_id: str | None = None
    app: str | None = Field(default=None, description="The app's name")
    size: int = Field(description="Bytes on disk that this frees")
    why: str = Field(description="In the reader's language")
    reason: str = Field(description="The code of `why`")


class GcOut(Answer):
    dry_run: bool
    at: datetime
    items: list[GcItemOut]
    freed: int = Field(description="Bytes, all together")
    problems: list[str] = Field(description="What was left out, and why")


class KeysOut(Answer):
    resealed: int = Field(description="Values that were under an older key")
    resumed: bool = Field(description="A rotation that was begun before was ended; no key was added")
