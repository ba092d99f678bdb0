"""What a start launches: the words, the variables and the files of one workload, worked out from what it is given."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gongfang.runtimes.interface import Limits, WorkloadKind
from gongfang.runtimes.local import plain, sandbox
from gongfang.runtimes.local.launch import Launch
from gongfang.runtimes.local.records import Folder, Record
from gongfang.runtimes.local.sandbox import FDS, Host, Inside, Isolation


@dataclass(frozen=True, slots=True)
class Machine:
    """What is the same for all workloads. `log_limit`: bytes of output kept of each."""

    host: Host
    isolation: Isolation
    log_limit: int


async def plan_launch(
    machine: Machine,
    inside: Inside,
    folder: Folder,
    record: Record,
    *,
    groups: Sequence[Path],
    files: Mapping[int, bytes],
    locks: Sequence[int],
) -> Launch:
    """`groups`: control groups to be entered. `files`: what the sandbox gets besides, by descriptor. Without a
    sandbox, the folder in which it runs is made here."""
    isolation, spec = machine.isolation, inside.spec
    variables = sandbox.environment(inside)
    data: dict[int, bytes] = {}
    if isolation.bwrap is None:
        view = await asyncio.to_thread(plain.prepare, inside, folder.path)
        words = plain.words(inside, view)
        variables = plain.variables(variables, view, record.nonce)
    else:
        options = sandbox.bwrap_arguments(machine.host, isolation, inside, variables)
        options += ["--json-status-fd", str(FDS.status), "--info-fd", str(FDS.ready)]
        if locks:
            options += ["--sync-fd", str(FDS.locks)]
        data[FDS.arguments] = b"".join(os.fsencode(option) + b"\0" for option in options)
        data |= {FDS.files + number: content for number, content in enumerate(spec.files.values())}
        data |= {FDS.passwd: sandbox.passwd(inside), FDS.group: sandbox.group(inside), **files}
        words = [isolation.bwrap, "--args", str(FDS.arguments), "--", *sandbox.command(isolation, inside)]
        variables = {"PATH": sandbox.DEFAULT_PATH, "LANG": "C.UTF-8"}
    return Launch(
        words=words,
        variables=variables,
        sandboxed=isolation.bwrap is not None,
        launch_file=folder.launch_file(record.nonce),
        output=folder.output,
        output_owner=inside.uid if isolation.as_root and isolation.bwrap is not None else None,
        status=folder.status,
        open_files=spec.limits.open_files,
        goes_first=spec.kind is not WorkloadKind.platform,
        file_bytes=_largest_file(spec.limits, machine.log_limit),
        groups=groups,
        data=data,
        locks=locks,
    )


def _largest_file(limits: Limits, log_limit: int) -> int | None:
    """As large as the whole disk, and room for output that nobody looks at for a while."""
    return None if limits.disk_bytes is None else max(limits.disk_bytes, 64 * log_limit)
