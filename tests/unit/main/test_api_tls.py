"""The API's certificate in files: what is refused at the start; a renewed pair is taken whole or not at all."""

from pathlib import Path

import pytest

from gongfang.domain.errors import Invalid
from gongfang.main.api_tls import ApiTls
from tests.tls_papers import authority, key_pem, p256

CA = authority()


def write(folder: Path, chain: str | None, key: str | None) -> tuple[Path, Path]:
    files = (folder / "c.pem", folder / "k.pem")
    for file, text in zip(files, (chain, key), strict=True):
        if text is not None:
            file.write_text(text)
    return files


def test_none_and_one_alone(tmp_path: Path) -> None:
    assert ApiTls.of(None, None) is None
    for pair in ((tmp_path, None), (None, tmp_path)):
        with pytest.raises(Invalid) as caught:
            ApiTls.of(*pair)
        assert caught.value.code == "api_tls_pair"


def test_what_is_refused(tmp_path: Path) -> None:
    paper = CA.sign("localhost")
    for number, (chain, key, code) in enumerate(
        [
            (None, paper.key_pem, "api_tls_missing"),
            (paper.chain, None, "api_tls_missing"),
            (paper.chain, key_pem(p256()), "api_tls_mismatch"),
            (paper.chain, key_pem(paper.key, b"x"), "api_tls_encrypted"),
            ("hello", paper.key_pem, "api_tls_unusable"),
            (paper.chain, "hello", "api_tls_unusable"),
            (paper.chain, paper.chain, "api_tls_unusable"),
            ("", "", "api_tls_unusable"),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(Invalid) as caught:
            ApiTls(*write(folder, chain, key))
        assert caught.value.code == code, number
        assert str(folder) in str(caught.value)
    with pytest.raises(Invalid):
        ApiTls(tmp_path, tmp_path)  # folders


def test_a_renewed_pair_is_taken_whole(tmp_path: Path) -> None:
    first, second = CA.sign("localhost"), CA.sign("localhost")
    tls = ApiTls(*write(tmp_path, first.chain, first.key_pem))
    assert not tls.look()
    write(tmp_path, second.chain, None)  # half of it
    assert not tls.look()
    write(tmp_path, None, second.key_pem)
    assert tls.look() and not tls.look()
    (tmp_path / "k.pem").unlink()
    assert not tls.look()
    write(tmp_path, None, second.key_pem)
    assert tls.look()
