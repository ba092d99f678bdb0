"""The envelope of every JSON answer (the standard asks each answer to say whether it succeeded), and lists."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field

T = TypeVar("T")


class Detail(BaseModel):
    """One field at fault."""

    field: str
    message: str


class Envelope(BaseModel, Generic[T]):
    success: bool = Field(description="Whether the call succeeded")
    code: str = Field(description="`OK`, `accepted`, or a stable lower_snake code of the error")
    message: str = Field(description="In the language of Accept-Language; says what to do next")
    data: T | None = None
    details: list[Detail] | None = None
    request_id: str


class Page(BaseModel, Generic[T]):
    items: list[T]
    next_cursor: str | None = None


AnyEnvelope = Envelope[Any]
