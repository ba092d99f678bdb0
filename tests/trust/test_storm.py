"""The chaos benchmark in small: many clients call while every part is killed; nothing is lost or done twice."""

from bench.chaos import EVERYTHING
from bench.lab import platform
from bench.storm import storm


def test_what_was_accepted_under_random_kills_is_there_once_and_nothing_else() -> None:
    with platform() as lab:
        outcome = storm(lab, calls=100, clients=6, parts=EVERYTHING, kills=4, seed=7, pause_s=1.0)
    assert (outcome.lost, outcome.twice, outcome.left) == ([], [], [])
    assert outcome.accepted > 20
    assert sum(outcome.kills.values()) > 0
