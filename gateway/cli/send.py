"""`gateway send`: one message over the API, as a caller would send it."""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.status import Status

from gateway.cli import exits, loop, options, output, tables
from gateway.cli.client import Client
from gateway.cli.options import Key, Url
from gateway.model.errors import TransportError
from gateway.model.state import State

#: Seconds between looks at the message.
_LOOK_EVERY = 0.2

_GOOD = frozenset({State.SENT, State.DELIVERED, State.READ})
_WAITING = frozenset({State.SCHEDULED, State.QUEUED, State.SENDING})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wait:
    #: seconds; 0: not at all
    seconds: float
    #: seconds that `sent` is given to become `delivered`
    settle: float


Phone = Annotated[str, typer.Option(help="E.164, with +.", show_default=False)]
Email = Annotated[str, typer.Option(help="Email address.", show_default=False)]
PushTokens = Annotated[
    list[str] | None, typer.Option(help="Device token; repeatable.", show_default=False)
]
PushApp = Annotated[str, typer.Option(help="App that the tokens belong to.")]
WeChat = Annotated[str, typer.Option(help="WeChat openid.", show_default=False)]
WeCom = Annotated[str, typer.Option(help="WeCom user id.", show_default=False)]
Recipient = Annotated[str, typer.Option(help="Id of a registered recipient.", show_default=False)]
Text = Annotated[str, typer.Option(help="Plain text.", show_default=False)]
Subject = Annotated[str, typer.Option(help="Subject, for email.", show_default=False)]
Html = Annotated[str, typer.Option(help="HTML, for email.", show_default=False)]
Template = Annotated[str, typer.Option(help="Configured template.", show_default=False)]
Data = Annotated[str, typer.Option(help="Its variables, as JSON.", show_default=False)]
Category = Annotated[str, typer.Option(help="Configured category.", show_default=False)]
Chain = Annotated[str, typer.Option(help="Channels in order: push,sms,email.", show_default=False)]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has reached its end.")]
Timeout = Annotated[float, typer.Option(min=0, help="Longest wait, in seconds.")]
Settle = Annotated[
    float, typer.Option(min=0, help="Seconds that `sent` is given to become `delivered`.")
]


def send(
    url: Url = "http://127.0.0.1:8080",
    key: Key = "",
    phone: Phone = "",
    email: Email = "",
    push_token: PushTokens = None,
    push_app: PushApp = "app",
    wechat: WeChat = "",
    wecom: WeCom = "",
    recipient: Recipient = "",
    text: Text = "",
    subject: Subject = "",
    html: Html = "",
    template: Template = "",
    data: Data = "",
    category: Category = "",
    chain: Chain = "",
    wait: Wait = True,
    timeout: Timeout = 60.0,
    settle: Settle = 3.0,
    json: options.Json = False,
) -> None:
    """Send one message and show what becomes of it.

    Ends with 0 when it is sent, delivered or read, with 1 when it is not or
    is refused, with 75 when the gateway does not answer. With --no-wait 0
    means that it was accepted.

    \b
    gateway send --phone +14155550123 --text Hello --key gw_sandbox
    gateway send --email li@example.com --template login-code \\
        --data '{"code": "834201"}'
    gateway send --push-token 740f47 --phone +14155550123 --text Hi \\
        --chain push,sms --json
    """
    push = [{"app": push_app, "token": one} for one in push_token or ()]
    body = {
        "to": {
            "phone": phone,
            "email": email,
            "push": push,
            "wechat": wechat,
            "wecom": wecom,
            "recipient": recipient,
        },
        "content": {"text": text, "subject": subject, "html": html},
        "template": template,
        "data": _read_data(data),
        "category": category,
        "chain": [{"channel": one.strip()} for one in chain.split(",") if one.strip()],
    }
    options.check_caller(url, key)
    patience = _Wait(seconds=timeout if wait else 0.0, settle=settle)
    with exits.explained():
        message = loop.run(_send(url, key, _without_empty(body), patience))
    _show(message, json=json)
    _end(message, patience)


def _end(message: Mapping[str, Any], patience: _Wait) -> None:
    """Says so where the message's end was not waited for, and tells success from failure."""
    if not patience.seconds or message["state"] in _GOOD:
        return
    if message["state"] in _WAITING:
        output.complain(
            f"still {message['state']} after {patience.seconds:g} s; the gateway goes on with it: "
            f"GET /v1/messages/{message['id']} tells more"
        )
    raise typer.Exit(exits.FAILED)


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """Tables in it as well."""
    kept = {
        name: _without_empty(value) if name in ("to", "content") else value
        for name, value in values.items()
    }
    return {name: value for name, value in kept.items() if value}


def _read_data(text: str) -> object:
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(f"--data is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter("--data is a JSON object")
    return found


async def _send(url: str, key: str, body: Mapping[str, Any], patience: _Wait) -> Mapping[str, Any]:
    try:
        async with Client(url, key) as client:
            accepted = await client.submit(body, key=uuid.uuid4().hex)
            if not patience.seconds:
                return accepted
            return await _follow(client, accepted["id"], patience)
    except TransportError as error:
        hint = "is it running there? --url names another address"
        raise TransportError(f"{url}: {error.reason}; {hint}") from None


async def _follow(client: Client, id: str, patience: _Wait) -> Mapping[str, Any]:
    """The message when its state will not change soon, or when patience has run out."""
    loop = asyncio.get_running_loop()
    deadline, settled = loop.time() + patience.seconds, None
    with Status(f"{id}  queued", console=Console(stderr=True)) as status:
        while True:
            message = await client.read(id)
            status.update(f"{id}  {message['state']}")
            if message["state"] == State.SENT and settled is None:
                settled = loop.time() + patience.settle
            if _is_over(message["state"], loop.time(), settled) or loop.time() >= deadline:
                return message
            await asyncio.sleep(_LOOK_EVERY)


def _is_over(state: str, now: float, settled: float | None) -> bool:
    if state == State.SENT:
        return settled is not None and now >= settled
    return state not in _WAITING


def _show(message: Mapping[str, Any], *, json: bool) -> None:
    if json:
        output.show_json(message)
    elif "timeline" in message:
        tables.console().print(tables.timeline(message))
    else:
        output.say(f"{message['id']}  {message['state']}")
