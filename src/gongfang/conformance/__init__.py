"""The conformance kit: is a server what `STANDARD.md` says, seen from outside?

It knows nothing but HTTP and that page: neither this project's server, nor its typed client, nor its models, so that
none of them can be right merely by agreeing with itself. What it expects stands in a module a group of clauses, and
in those of the common rules; each clause is a `Clause` (what to send, what must come back, what must be
refused, what must be true afterwards) and is read as the contract.

    texts      sentences in both languages
    web        one call, one answer: never raises, never waits for ever
    expect     assertions over answers; a `Failure` says what was expected and what was seen
    world      what a clause needs before it can be tried: an app that runs, say
    undoing    taking all of it away again
    clauses    what a clause is, and the bad input that every clause must refuse
    services   a service instance, and an app bound to one: needed by several groups
    deploy, domains, iteration, monitoring, middleware    the contract: 5.1, 5.1(10) to (12), 5.2, 5.3, 5.4
    common, people, work    the contract: the common rules
    runner     tries what was asked for, and judges
    report     the verdicts, as JSON and JUnit

The hard cases. A server without an interface is not wrong about it: `missing` is told apart from `fail`. What could
not be tried because something before it did not work is `blocked`, with the cause: never a silent pass. Whatever was
made is destroyed at the end, after a failure and after Ctrl-C too, and what could not be is named.
"""

from gongfang.conformance.report import Report, Result, Verdict
from gongfang.conformance.runner import ALL, SelectionError, Unreachable, chosen, key_of, run
from gongfang.conformance.texts import Text
from gongfang.conformance.world import Options

__all__ = [
    "ALL",
    "Options",
    "Report",
    "Result",
    "SelectionError",
    "Text",
    "Unreachable",
    "Verdict",
    "chosen",
    "key_of",
    "run",
]
