"""Errors as a person reads them: one line that says what is wrong, what it was about, what to do; and an exit code.

0 done · 1 it failed · 2 wrong usage · 3 the platform is away · 4 refused (401, 403) · 130 Ctrl-C
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gongfang.cli.text import t
from gongfang.client.errors import ApiError, ForbiddenError, PlatformAway, UnauthenticatedError

if TYPE_CHECKING:
    from gongfang.cli.session import Session

FAILED, USAGE, AWAY, REFUSED, INTERRUPTED = 1, 2, 3, 4, 130


class Failed(Exception):
    """A command did not reach its aim. `output`: the last lines of what failed; `hint`: what to do next; `name`: the
    error's stable code for programs, where there is one."""

    def __init__(
        self,
        message: str,
        *,
        output: str | None = None,
        hint: str | None = None,
        code: int = FAILED,
        name: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.output = output
        self.hint = hint
        self.code = code
        self.name = name


def document(error: Exception) -> dict[str, object]:
    """The same for programs: `{"error": {…}}`. `code` is the platform's own where it was the platform that said no."""
    names = {USAGE: "usage", AWAY: "platform_away", REFUSED: "refused"}
    body: dict[str, object] = {"code": "failed", "message": str(error), "details": [], "request_id": None}
    match error:
        case Failed():
            body.update(code=error.name or names.get(error.code, "failed"), message=error.message)
            if error.hint:
                body["hint"] = error.hint
        case PlatformAway():
            body["code"] = "platform_away"
        case ApiError():
            details = [{"field": fault.field, "message": fault.message} for fault in error.details]
            body.update(code=error.code, message=error.message, details=details, request_id=error.request_id or None)
        case _:
            pass
    return {"error": body}


def exit_code(error: Exception) -> int | None:
    """None for what is not an error of a user's making or of the platform's, but a bug of this program."""
    match error:
        case Failed():
            return error.code
        case PlatformAway():
            return AWAY
        case UnauthenticatedError() | ForbiddenError():
            return REFUSED
        case ApiError() | TimeoutError() | OSError():
            return FAILED
        case _:
            return None


def explain(error: Exception, session: "Session") -> Iterator[str]:
    """The lines to print."""
    label = t("error: ", "错误：")
    match error:
        case Failed():
            yield label + error.message
            if error.output:
                yield t("the last output:", "最后的输出：")
                yield from (f"  | {line}" for line in error.output.rstrip().splitlines())
            if error.hint:
                yield "  → " + error.hint
        case PlatformAway():
            yield label + t("no answer from {0} ({1})", "{0} 没有应答（{1}）").format(error.url, error.reason)
            yield "  → " + away_hint(session, error)
        case ApiError():
            yield label + error.message
            yield from (f"  {fault.field}: {fault.message}" for fault in error.details)
            if isinstance(error, UnauthenticatedError) and not session.logging_in:
                yield "  → " + t("log in with: gongfang login {0}", "请登录：gongfang login {0}").format(session.url)
            if error.status >= 500 and error.request_id:
                yield "  → " + t("request id: {0}", "请求号：{0}").format(error.request_id)
        case OSError():
            name = f": {error.filename}" if error.filename else ""
            yield f"{label}{error.strerror or error}{name}"
        case _:
            yield label + str(error)


def away_hint(session: "Session", away: PlatformAway | None = None) -> str:
    """How to get to a platform that answers."""
    if away is not None and "CERTIFICATE_VERIFY_FAILED" in away.reason:
        return certificate_hint(away.reason, session.connection.ca)
    if away is not None and away.url.startswith("http://") and "disconnected without" in away.reason:
        return t("it may speak HTTPS: write https:// in front", "对方可能使用 HTTPS：请在地址前写 https://")
    if away is not None and "WRONG_VERSION_NUMBER" in away.reason:
        return t("it speaks plain HTTP: write http:// in front", "对方使用 HTTP：请在地址前写 http://")
    if session.connection.local:
        return t("start it with: gongfang up --detach", "请启动平台：gongfang up --detach")
    return t(
        "check the address, or choose another with --url or: gongfang login URL",
        "请检查地址，或用 --url 或 gongfang login URL 另选平台",
    )


def speaks(away: PlatformAway) -> bool:
    """Whether somebody is there after all, and only the connection could not be made safe."""
    return any(word in away.reason for word in ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "[SSL"))


def certificate_hint(reason: str, ca: str | None) -> str:
    """What to do about a certificate that was not believed."""
    if "mismatch" in reason:
        return t(
            "its certificate is for other names: use an address that it names, or have it issued for this one",
            "其证书不适用于该地址：请使用证书中的名称访问，或为该地址签发证书",
        )
    if "expired" in reason:
        return t("its certificate has expired: renew it on the server", "其证书已过期：请在服务器上更换")
    if ca is not None:
        return t(
            "{0} did not sign its certificate; name the right authority's file",
            "证书不是由 {0} 签发；请指定正确的签发机构证书",
        ).format(ca)
    return t(
        "its certificate is not trusted here; name the authority's file with --ca FILE or GONGFANG_CA",
        "其证书不受信任；请用 --ca 文件 或 GONGFANG_CA 指定签发机构的证书",
    )
