"""What an answer shows of a noun: the value itself and what belongs beside it, gathered in few queries."""

from collections.abc import Mapping
from dataclasses import dataclass

from gongfang.domain.values import App, Domain, Instance, Operation, Release


@dataclass(frozen=True, slots=True)
class AppView:
    """`instances`: those not ended, and the last crashed one of each place. `numbers`: release id → number."""

    app: App
    instances: tuple[Instance, ...]
    domains: tuple[Domain, ...]
    numbers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class OperationView:
    """An operation with the number of the release it made or runs."""

    operation: Operation
    release_number: int | None


@dataclass(frozen=True, slots=True)
class ReleaseView:
    release: Release
    current: bool
    scale: Mapping[str, int]
