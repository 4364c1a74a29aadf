"""`gateway check --live`: a test message by one account, and what its result means, in words."""

from collections.abc import Mapping
from typing import Any, assert_never

import orjson
import typer

from gateway.app.probe import probe
from gateway.cli import exits, loop, output
from gateway.clock import SystemClock
from gateway.content import addresses, templates
from gateway.model import wire
from gateway.model.values import replace
from gateway.providers import registry
from gateway.settings import Settings

_TEXT = "This is a test message of gateway."
_SUBJECT = "Test message of gateway"

#: By channel: the field of the address, and what --to is.
_ADDRESSES: Mapping[wire.Channel, tuple[str, str]] = {
    wire.Channel.SMS: ("phone", "a phone number, such as +14155550123"),
    wire.Channel.RCS: ("phone", "a phone number, such as +14155550123"),
    wire.Channel.EMAIL: ("email", "an email address"),
    wire.Channel.PUSH: ("token", "a device token"),
    wire.Channel.WECHAT: ("wechat", "an openid"),
    wire.Channel.WECOM: ("wecom", "a user id"),
    wire.Channel.CHAT: ("chat", "the id of a chat"),
    wire.Channel.WEBHOOK: ("url", "a URL"),
}
_CHECKS = {"phone": addresses.check_phone, "email": addresses.check_email}


def run(settings: Settings, account: str, *, to: str, template: str, data: str, json: bool) -> None:
    """Send, show, and end with 1 unless the provider took it."""
    own = settings.providers.get(account)
    if own is None:
        known = ", ".join(sorted(settings.providers)) or "none"
        raise typer.BadParameter(f"--live: no provider {account!r}; there are: {known}")
    with exits.explained():
        provider = registry.build(account, own.kind, own.options, SystemClock())
        address = _address(provider.channel, to)
        content = _content(settings, provider.channel, own.kind, template, data)
        result = loop.run(probe(settings, account, to=address, content=content))
    word, following = explain(result, account)
    if json:
        output.show_json(_document(result, account, own.kind, provider.channel, word, following))
    else:
        output.say(f"{account} ({own.kind}, {provider.channel}): {word}{_reason(result)}")
        output.say(following)
    if not isinstance(result, wire.Accepted):
        raise typer.Exit(exits.FAILED)


def explain(result: wire.AttemptResult, account: str) -> tuple[str, str]:
    """(what happened, what to do next)."""
    match result:
        case wire.Accepted(provider_id=id_):
            name = f" It calls it {id_}." if id_ else ""
            return "accepted", f"The provider took it.{name} See whether it arrives."
        case wire.Rejected(scope=wire.Scope.RECIPIENT):
            return "refused", "It will not send to this address: try another --to."
        case wire.Rejected(scope=wire.Scope.MESSAGE):
            return (
                "refused",
                "It does not take this content: see its rules for templates and texts.",
            )
        case wire.Rejected():
            return "refused", (
                f"This account cannot send it: compare sender, template, sign and address in "
                f"[providers.{account}] with the provider's console."
            )
        case wire.Deferred(cause=cause):
            return _explain_deferral(cause, account)
        case wire.Unknown():
            return "unknown", (
                "It was sent and no readable answer came, so it may arrive. Look before you send "
                f"another; is providers.{account}.timeout long enough?"
            )
        case _:
            assert_never(result)


def _explain_deferral(cause: wire.Cause, account: str) -> tuple[str, str]:
    match cause:
        case wire.Cause.CONNECT:
            return "not sent", (
                f"Nothing left: check host, port, security or base_url in [providers.{account}], "
                "then name resolution and firewall from this machine."
            )
        case wire.Cause.CREDENTIAL:
            return "not taken", (
                f"The provider refuses the credential: check keys, secrets and tokens in "
                f"[providers.{account}], and whether the account may send."
            )
        case wire.Cause.THROTTLED:
            return "not taken", (
                f"The account is over a limit: wait, and compare providers.{account}.rate with "
                "what the provider allows."
            )
        case wire.Cause.TEMPORARY:
            return (
                "not taken",
                "The provider has trouble: try again later, and see its status page.",
            )
        case wire.Cause.RECIPIENT:
            return "not taken", "This address takes nothing now: try later, or another --to."
        case _:
            assert_never(cause)


def _reason(result: wire.AttemptResult) -> str:
    if isinstance(result, wire.Accepted):
        return f" ({result.detail})" if result.detail else ""
    return f" ({': '.join(filter(None, (result.code, result.detail)))})"


def _document(
    result: wire.AttemptResult,
    account: str,
    kind: str,
    channel: wire.Channel,
    word: str,
    following: str,
) -> dict[str, Any]:
    return {
        "ok": isinstance(result, wire.Accepted),
        "provider": account,
        "kind": kind,
        "channel": channel,
        "result": type(result).__name__.lower(),
        "code": getattr(result, "code", ""),
        "detail": result.detail,
        "provider_id": getattr(result, "provider_id", ""),
        "said": word,
        "next": following,
    }


def _address(channel: wire.Channel, to: str) -> wire.Address:
    field, wanted = _ADDRESSES[channel]
    if not to:
        if channel is wire.Channel.CHAT:  # some kinds have one chat, which their URL names
            return wire.Address()
        raise typer.BadParameter(f"--to is needed: {wanted}")
    try:
        return replace(wire.Address(), **{field: _CHECKS.get(field, str)(to)})
    except ValueError as error:
        raise typer.BadParameter(f"--to {error}: give {wanted}") from None


def _content(
    settings: Settings, channel: wire.Channel, kind: str, template: str, data: str
) -> wire.Content:
    if not template:
        subject = _SUBJECT if channel in (wire.Channel.EMAIL, wire.Channel.PUSH) else ""
        return wire.Content(text=_TEXT, subject=subject)
    known = templates.load(settings)
    try:
        values = orjson.loads(data or "{}")
        if not isinstance(values, dict):
            raise typer.BadParameter("--data is a JSON object")
        return known.render(template, channel, values, frozenset({kind}))
    except (templates.TemplateFault, orjson.JSONDecodeError) as error:
        raise typer.BadParameter(f"--template: {error}") from None
