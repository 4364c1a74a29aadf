"""What services have in common that answer 200 always and say in `errcode` what they think.

WeChat, WeCom and DingTalk: an access token that is fetched for an app's id and secret goes into
the query, and the body decides. `errmsg` may repeat a recipient, so it is read and not passed on.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import quote

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import auth, base

#: Code of a refused token, which the dispatcher renews once before it takes this for an answer.
TOKEN_REFUSED = "access_token"

Table: TypeAlias = Mapping[int, wire.Rejected | wire.Deferred]
Groups: TypeAlias = tuple[tuple[wire.Rejected | wire.Deferred, frozenset[int]], ...]


def table_of(groups: Groups) -> Table:
    """Results by code; one that has a code of its own keeps it."""
    return {
        code: replace(result, code=result.code or str(code))
        for result, codes in groups
        for code in codes
    }


def code_of(answer: Mapping[str, Any], name: str = "errcode") -> int | None:
    """A number, which some answers write as text; None when there is none."""
    value = answer.get(name)
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and value.isascii():
        return int(value[:12]) if value != "-" else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def refusal(
    code: int | None, response: wire.HttpResponse, table: Table, *, now_ms: int
) -> wire.AttemptResult:
    """What an answer means whose code is not 0. An unheard-of code refuses the message."""
    wait = base.retry_after(response, now_ms=now_ms)
    known = None if code is None else table.get(code)
    if isinstance(known, wire.Deferred):
        return known if wait is None else replace(known, retry_after=wait)
    if known is not None:
        return known
    by_status = base.result_of_status(response, now_ms=now_ms)
    if not isinstance(by_status, wire.Accepted):
        return by_status
    if code is None:
        return wire.Unknown(code=f"http_{response.status}", detail="answer without a code")
    return wire.Rejected(code=str(code), detail="unheard-of code")


class QueryToken:
    """An access token that goes into the query. Implements `base.Credential`."""

    def __init__(
        self,
        request: wire.HttpRequest,
        table: Table,
        clock: Clock,
        *,
        refine: Callable[[wire.Deferred], wire.Deferred] = lambda one: one,
    ) -> None:
        """request: what fetches a token. refine: has the last word on a limit."""
        self._request = request
        self._table = table
        self._clock = clock
        self._refine = refine

    def token_request(self) -> wire.HttpRequest:
        return self._request

    def read_token(self, response: wire.HttpResponse) -> wire.Token | wire.Deferred:
        answer = auth.json_object(response.body)
        token, seconds = answer.get("access_token"), code_of(answer, "expires_in")
        code = code_of(answer)
        good = 200 <= response.status < 300 and code in (None, 0)
        if good and isinstance(token, str) and token and seconds is not None and seconds > 0:
            return wire.Token(value=token, expires_in=float(seconds))
        return self._no_token(code, response)

    def _no_token(self, code: int | None, response: wire.HttpResponse) -> wire.Deferred:
        """Nothing was sent, so that every failure may be repeated."""
        detail, now_ms = "no access token", self._clock.now_ms()
        if code in (None, 0):
            result = base.result_of_status(response, now_ms=now_ms)
            own = f"http_{response.status}"
        else:
            result = refusal(code, response, self._table, now_ms=now_ms)
            own = str(code)
        if isinstance(result, wire.Accepted):
            return wire.Deferred(code="unreadable_token", detail=detail)
        if isinstance(result, wire.Deferred):
            return self._refine(replace(result, code=own, detail=detail))
        return wire.Deferred(code=own, detail=detail, cause=wire.Cause.CREDENTIAL)

    def authorise(self, request: wire.HttpRequest, token: str) -> wire.HttpRequest:
        mark = "&" if "?" in request.url else "?"
        url = f"{request.url}{mark}access_token={quote(token, safe='')}"
        return replace(request, url=url)


def check(faults: list[str]) -> None:
    """Raises SettingsError when there are any."""
    if faults:
        raise errors.SettingsError(faults)
