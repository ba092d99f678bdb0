"""The composition root: the only place that knows every concrete class.

`process` starts and stops the platform as a person does (`gongfang up`, `gongfang down`); `platform` puts the parts
together and runs them in one process; `embedded` says how PostgreSQL and Envoy are run.
"""


def up(*, detach: bool) -> int:
    """`gongfang up`: in the foreground, or (`detach`) until it is ready. The answer is the exit code."""
    from gongfang.main.process import up as run

    return run(detach=detach)


def down() -> int:
    """`gongfang down`: stops the control plane, every app, Envoy and PostgreSQL. The answer is the exit code."""
    from gongfang.main.process import down as run

    return run()
