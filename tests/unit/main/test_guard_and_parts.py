"""Backups and clearing up keep out of each other's way; what a backup takes of a home."""

from pathlib import Path

import pytest
from cryptography.fernet import InvalidToken

from gongfang.main.backup.parts import kept_files, may_be_restored
from gongfang.main.guard import Guard
from gongfang.state import Keyring, tables
from gongfang.state.blobrefs import REFERENCES
from gongfang.state.dump import in_order
from gongfang.state.sealed import SEALED


def test_nothing_is_cleared_while_something_is_kept(tmp_path: Path) -> None:
    guard = Guard(tmp_path / "lock")
    with guard.keeping(), guard.keeping():
        with guard.clearing() as may:
            assert not may
    with guard.clearing() as may:
        assert may
        with Guard(tmp_path / "lock").clearing() as also:
            assert not also


def test_parts_are_whole_files_of_the_home(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    for name in ("secrets/keys", "secrets/keys.new", "admin-token", "control.lock"):
        (tmp_path / name).write_text("x")
    (tmp_path / "secrets" / "link").symlink_to("/etc/passwd")
    assert [name for name, _ in kept_files(tmp_path)] == ["secrets/keys", "admin-token"]
    assert may_be_restored("secrets/keys")
    assert not may_be_restored("postgres/data/PG_VERSION")


def test_every_column_of_digests_is_known_to_backup_and_gc() -> None:
    found = {(table.name, column.name) for table in tables.metadata.tables.values() for column in table.columns}
    digests = {(table, column) for table, column in found if column == "sha256"}
    assert digests == {(each.table, each.column) for each in REFERENCES}
    assert {(each.table, each.column) for each in SEALED} <= found


def test_tables_come_after_those_that_they_refer_to() -> None:
    order = in_order(["a", "b", "c", "d"], [("a", "c"), ("c", "d"), ("c", "c"), ("b", "elsewhere")])
    assert order.index("d") < order.index("c") < order.index("a")
    assert sorted(order) == ["a", "b", "c", "d"]


def test_keys_are_added_and_dropped_in_the_file_first(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    ring = Keyring.load(path)
    old = ring.seal("secret")
    ring.add_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Keyring.load(path).count == ring.count == 2
    fresh = ring.reseal(old)
    assert fresh is not None and ring.reseal(fresh) is None
    assert ring.open(old) == ring.open(fresh) == Keyring.load(path).open(old) == "secret"
    ring.drop_older(path)
    assert Keyring.load(path).open(fresh) == "secret"
    with pytest.raises(InvalidToken):
        ring.open(old)
