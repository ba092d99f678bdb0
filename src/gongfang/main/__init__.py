"""The composition root: the only place that knows every concrete class.

`process` starts and stops the platform as a person does (`gongfang up`, `gongfang down`); `platform` puts the parts
together and runs them in one process; `embedded` says how PostgreSQL and Envoy are run.
"""


def up(*, detach: bool, restart: bool = False, as_json: bool = False) -> int:
    """`gongfang up`: in the foreground, or (`detach`) until it is ready. The answer is the exit code."""
    from gongfang.main.process import up as run

    return run(detach=detach, restart=restart, as_json=as_json)


def down() -> int:
    """`gongfang down`: stops the control plane, every app, Envoy and PostgreSQL. The answer is the exit code."""
    from gongfang.main.process import down as run

    return run()


def backup(file: str | None, *, passphrase_file: str | None, as_json: bool) -> int:
    """`gongfang backup`: of the platform that runs on this machine. The answer is the exit code."""
    from gongfang.main.backup.commands import backup as run

    return run(file, passphrase_file=passphrase_file, as_json=as_json)


def verify_backup(file: str, *, passphrase_file: str | None, as_json: bool) -> int:
    """`gongfang backup verify`. The answer is the exit code."""
    from gongfang.main.backup.commands import verify_backup as run

    return run(file, passphrase_file=passphrase_file, as_json=as_json)


def restore(file: str, *, passphrase_file: str | None, start: bool) -> int:
    """`gongfang restore`: into this machine's empty home. The answer is the exit code."""
    from gongfang.main.backup.commands import restore as run

    return run(file, passphrase_file=passphrase_file, start=start)
