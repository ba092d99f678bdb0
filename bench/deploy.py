"""Deploy: from the upload to the first 200 of the new version through the edge, against the same app started by hand.

The app is one Python file without dependencies that says its version. A round is a new app and ten versions of it;
rounds of all contenders take turns, so that the machine's other work falls on all alike.
"""

from contextlib import ExitStack
from typing import Any

from bench.contenders import ByHand, Contender, Gongfang, Honcho, Pm2
from bench.lab import platform, temporary_folder
from bench.report import Aim, Report
from bench.stats import median, spread

ROUNDS = 5
VERSIONS = 10
AIM_MS = 300.0


def run() -> Report:
    with temporary_folder() as folder, platform() as lab, ExitStack() as stack:
        contenders: list[Contender] = [
            Gongfang(lab),
            ByHand(folder / "hand"),
            Honcho(folder / "honcho"),
            Pm2(folder / "pm2"),
        ]
        for contender in contenders:
            stack.callback(contender.close)
        _warm_up(contenders)
        times = _measure(contenders)
    return _report(times)


def _warm_up(contenders: list[Contender]) -> None:
    """One of each that doesn't count: the page cache is warm for all, as on a machine that is in use."""
    for contender in contenders:
        contender.fresh()
        contender.deploy(0)


def _measure(contenders: list[Contender]) -> dict[str, list[list[float]]]:
    """By contender and round, milliseconds of each version."""
    times: dict[str, list[list[float]]] = {contender.name: [] for contender in contenders}
    for _ in range(ROUNDS):
        for contender in contenders:
            contender.fresh()
            times[contender.name].append([contender.deploy(version) * 1e3 for version in range(1, VERSIONS + 1)])
    return times


def _report(times: dict[str, list[list[float]]]) -> Report:
    hand = ByHand.name
    found = {name: _of_interest(rounds) for name, rounds in times.items()}
    rows: list[list[str]] = []
    for name, columns in found.items():
        row = [name]
        for what, values in columns.items():
            over = median(values) - median(found[hand][what])
            row += [f"{median(values):.0f}", spread(values), "" if name == hand else f"{over:+.0f}"]
        rows.append(row)
    over = {what: median(values) - median(found[hand][what]) for what, values in found[Gongfang.name].items()}
    aims = [
        Aim(f"{what}: at most {AIM_MS:.0f} ms over by hand: {ms:.0f} ms", ms <= AIM_MS) for what, ms in over.items()
    ]
    head = ["milliseconds"]
    for what in over:
        head += [what, "from–to", "over hand"]
    summary: dict[str, Any] = {
        name: {what: {"median_ms": median(values), "values_ms": values} for what, values in columns.items()}
        for name, columns in found.items()
    }
    return Report(
        name="deploy",
        title=f"Deploy: until the new version answers (medians; {ROUNDS} apps of {VERSIONS} versions each)",
        head=head,
        rows=rows,
        aims=aims,
        data={"over_by_hand_ms": over, "summary": summary, "rounds_ms": times},
    )


def _of_interest(rounds: list[list[float]]) -> dict[str, list[float]]:
    return {
        "first": [values[0] for values in rounds],
        "tenth": [values[-1] for values in rounds],
        "2nd–10th": [value for values in rounds for value in values[1:]],
    }
