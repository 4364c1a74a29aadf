"""One way to send over each transport: messages in, calls to the provider out, one result for each
message of a call.

What a transport raises becomes a result here: not sent is Deferred, an answer lost is Unknown.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypeAlias

from gateway.clock import Clock
from gateway.dispatch.inquiries import Answers
from gateway.dispatch.tokens import Shelf, TokenKeeper
from gateway.model import wire
from gateway.model.errors import AnswerLost, NotSent
from gateway.model.values import replace
from gateway.providers import base as providers
from gateway.transport import base as transports


class Admit(Protocol):
    """Returns when a part of a call has its tokens and may leave. The first is number 0."""

    async def __call__(self, part: int = 0) -> None: ...


class Call(NamedTuple):
    """Messages that share a call to their provider, and how to make it."""

    messages: Sequence[wire.Message]
    #: one result for each message, in their order; awaits what it is given before each request
    make: Callable[[Admit | None], Awaitable[Sequence[wire.AttemptResult]]]
    #: that leave one by one, each when it is admitted
    parts: int = 1


class Sender(Protocol):
    """Sends by one provider account."""

    @property
    def provider(self) -> providers.Provider: ...

    def plan(self, messages: Sequence[wire.Message]) -> Sequence[Call]:
        """Calls that together carry every message once. Raises ValueError when the provider cannot
        carry one of them: nothing was sent, and nothing ever will be this way."""
        ...


_Ask: TypeAlias = Callable[
    [Sequence[wire.Message], wire.HttpRequest, transports.Admit | None],
    Awaitable[Sequence[wire.AttemptResult]],
]


class HttpSender:
    """Sends by a provider with an HTTP API."""

    def __init__(
        self,
        provider: providers.HttpProvider,
        transport: transports.HttpTransport,
        clock: Clock,
        *,
        timeout: float,
        shelf: Shelf | None = None,
    ) -> None:
        """shelf: where other nodes find the access token; None: there are none."""
        self._provider = provider
        self._transport = transport
        self._timeout = timeout
        self._can_redirect = providers.can_redirect(provider)
        self._answers = Answers(clock) if providers.can_inquire(provider) else None
        self._tokens = (
            TokenKeeper(provider.credential, transport, clock, timeout=timeout, shelf=shelf)
            if provider.credential is not None
            else None
        )

    @property
    def provider(self) -> providers.HttpProvider:
        return self._provider

    def plan(self, messages: Sequence[wire.Message]) -> Sequence[Call]:
        ask = self._exchange if self._tokens is None else self._exchange_with_token
        if self._answers is not None:
            ask = partial(self._after_inquiry, self._answers, ask)
        return [
            Call(group, partial(ask, group, request))
            for group, request in self._provider.build_requests(messages)
        ]

    async def _after_inquiry(
        self,
        answers: Answers,
        ask: _Ask,
        group: Sequence[wire.Message],
        request: wire.HttpRequest,
        admit: transports.Admit | None,
    ) -> Sequence[wire.AttemptResult]:
        """Not at all where the service has said that there is no use in it."""
        [message] = group
        known = answers.get(message.to)
        if known is None and (inquiry := self._provider.inquiry(message)):
            known = await self._inquire(inquiry)
            if known is not None:
                answers.keep(message.to, known)
        if isinstance(known, wire.HttpResponse):
            known = self._provider.read_inquiry(message, known)
        if known is not None:
            return [known]
        [result] = await ask(group, request, admit)
        if isinstance(result, wire.Rejected) and result.scope is wire.Scope.RECIPIENT:
            answers.keep(message.to, result)
        return [result]

    async def _inquire(self, inquiry: wire.HttpRequest) -> wire.HttpResponse | None:
        """The answer, if it is one of the service's to the question."""
        if self._tokens is not None:
            token = await self._tokens.get()
            if isinstance(token, wire.Deferred):
                return None
            inquiry = self._tokens.credential.authorise(inquiry, token)
        try:
            answer = await self._transport.send(inquiry, timeout=self._timeout)
        except (NotSent, AnswerLost):
            return None
        return answer if answer.status in (200, 404) else None

    async def _exchange_with_token(
        self,
        group: Sequence[wire.Message],
        request: wire.HttpRequest,
        admit: transports.Admit | None,
    ) -> Sequence[wire.AttemptResult]:
        assert self._tokens is not None
        results: Sequence[wire.AttemptResult] = ()
        for _ in range(2):  # once more with a fresh token when ours is refused
            token = await self._tokens.get()
            if isinstance(token, wire.Deferred):
                return [_untried(token)] * len(group)
            authorised = self._tokens.credential.authorise(request, token)
            results = await self._exchange(group, authorised, admit)
            if not _refuses_token(results):
                break
            self._tokens.forget(token)
        return results

    async def _exchange(
        self,
        group: Sequence[wire.Message],
        request: wire.HttpRequest,
        admit: transports.Admit | None,
    ) -> Sequence[wire.AttemptResult]:
        try:
            response = await self._transport.send(request, timeout=self._timeout, admit=admit)
            if self._can_redirect and (again := self._provider.redirected(request, response)):
                response = await self._transport.send(again, timeout=self._timeout, admit=admit)
        except NotSent as error:
            return [wire.Deferred(code=error.reason, cause=wire.Cause.CONNECT)] * len(group)
        except AnswerLost as error:
            return [wire.Unknown(code=error.reason)] * len(group)
        return self._provider.read_response(group, response)


def _untried(trouble: wire.Deferred) -> wire.Deferred:
    """Without a token no message has been tried, so that it costs none of them an attempt; the
    account waits, whoever is to blame."""
    if trouble.cause is wire.Cause.THROTTLED:
        return trouble
    return replace(trouble, cause=wire.Cause.CREDENTIAL)


def _refuses_token(results: Sequence[wire.AttemptResult]) -> bool:
    return any(
        isinstance(one, wire.Deferred)
        and one.cause is wire.Cause.CREDENTIAL
        and one.code == "access_token"
        for one in results
    )


class SmtpSender:
    """Sends by a mail relay."""

    def __init__(
        self,
        provider: providers.SmtpProvider,
        transport: transports.SmtpTransport,
        *,
        timeout: float,
    ) -> None:
        self._provider = provider
        self._transport = transport
        self._timeout = timeout

    @property
    def provider(self) -> providers.SmtpProvider:
        return self._provider

    def plan(self, messages: Sequence[wire.Message]) -> Sequence[Call]:
        return [
            Call([message], partial(self._transact, message, envelope))
            for message, envelope in self._provider.build_envelopes(messages)
        ]

    async def _transact(
        self, message: wire.Message, envelope: wire.Envelope, admit: transports.Admit | None
    ) -> Sequence[wire.AttemptResult]:
        try:
            reply = await self._transport.send(envelope, timeout=self._timeout, admit=admit)
        except NotSent as error:
            return [wire.Deferred(code=error.reason, cause=wire.Cause.CONNECT)]
        except AnswerLost as error:
            return [wire.Unknown(code=error.reason)]
        return [self._provider.read_reply(message, reply)]
