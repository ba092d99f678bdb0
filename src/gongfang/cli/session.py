"""One run of the command line: which platform it talks to, and how it prints."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from gongfang.cli import connection
from gongfang.cli.text import language, t

if TYPE_CHECKING:
    import ssl

    from gongfang.client import Client


class Session:
    """Made for each run by click; the client in it is opened at its first use."""

    def __init__(self) -> None:
        self.url_option: str | None = None
        self.token_option: str | None = None
        self.context_option: str | None = None
        self.ca_option: str | None = None
        self.as_json = False
        self.shown = False  # data were printed as JSON: an error is not put behind them
        self.logging_in = False  # a refused login is not told to log in
        self._connection: connection.Connection | None = None
        self._client: Client | None = None
        self._opened: list[Client] = []

    @property
    def connection(self) -> connection.Connection:
        if self._connection is None:
            self._connection = connection.resolve(
                self.url_option, self.token_option, self.context_option, self.ca_option
            )
        return self._connection

    @property
    def url(self) -> str:
        return self.connection.url

    @property
    def client(self) -> "Client":
        if self._client is None:
            self._client = self._open(self.connection.token)
        return self._client

    def quick_client(self, timeout: float = 5.0) -> "Client":
        """One that does not try again: for asking whether anybody is there."""
        return self._open(self.connection.token, timeout=timeout, retries=0)

    def client_for(self, token: str) -> "Client":
        """The same platform as somebody else."""
        return self._open(token)

    def trust(self) -> "ssl.SSLContext | None":
        """Whom to believe over HTTPS, for what speaks it without the client; None: the machine's authorities.

        Raises `Failed` for a file that can't be used."""
        from gongfang.client.http import trust

        where = self.connection
        try:
            found = trust(where.ca, where.pinned)
        except OSError as error:
            raise self._unusable(error) from error
        return None if isinstance(found, bool) else found

    def _unusable(self, error: OSError) -> Exception:
        from gongfang.cli.errors import USAGE, Failed

        name = self.connection.ca or self.connection.pinned or "-"
        return Failed(
            t("{0} can't be used: {1}", "无法使用 {0}：{1}").format(name, error),
            hint=t("It must be a PEM file of certificates.", "须为 PEM 格式的证书文件。"),
            code=USAGE,
        )

    def _open(self, token: str | None, timeout: float = 30.0, retries: int = 4) -> "Client":
        from gongfang.client import Client

        where = self.connection
        try:
            client = Client(
                where.url,
                token,
                language=language(),
                timeout=timeout,
                retries=retries,
                ca=where.ca,
                pinned=where.pinned,
            )
        except OSError as error:  # of the files alone: nothing is connected to yet
            raise self._unusable(error) from error
        self._opened.append(client)
        return client

    def show(self, data: Any, people: Callable[[], None]) -> None:
        """Prints the data: as JSON for programs, else as `people` prints it."""
        if self.as_json:
            from gongfang.cli.render import print_json

            self.shown = True
            print_json(data)
        else:
            people()

    def note(self, text: str) -> None:
        """A message beside the data, on stderr."""
        click.echo(text, err=True)

    def close(self) -> None:
        for client in self._opened:
            client.close()
