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

from gateway.cli import exits, options, output, serving
from gateway.cli.client import Client
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


def send(
    url: Annotated[
        str, typer.Option(envvar="GATEWAY_URL", help="Public address of the gateway.")
    ] = "http://127.0.0.1:8080",
    key: Annotated[
        str, typer.Option(envvar="GATEWAY_KEY", help="API key.", show_default=False)
    ] = "",
    phone: Annotated[str, typer.Option(help="E.164, with +.", show_default=False)] = "",
    email: Annotated[str, typer.Option(help="Email address.", show_default=False)] = "",
    push_token: Annotated[
        list[str] | None, typer.Option(help="Device token; repeatable.", show_default=False)
    ] = None,
    push_app: Annotated[str, typer.Option(help="App that the tokens belong to.")] = "app",
    wechat: Annotated[str, typer.Option(help="WeChat openid.", show_default=False)] = "",
    wecom: Annotated[str, typer.Option(help="WeCom user id.", show_default=False)] = "",
    text: Annotated[str, typer.Option(help="Plain text.", show_default=False)] = "",
    subject: Annotated[str, typer.Option(help="Subject, for email.", show_default=False)] = "",
    html: Annotated[str, typer.Option(help="HTML, for email.", show_default=False)] = "",
    template: Annotated[str, typer.Option(help="Configured template.", show_default=False)] = "",
    data: Annotated[str, typer.Option(help="Its variables, as JSON.", show_default=False)] = "",
    category: Annotated[str, typer.Option(help="Configured category.", show_default=False)] = "",
    chain: Annotated[
        str, typer.Option(help="Channels in order: push,sms,email.", show_default=False)
    ] = "",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until it has reached its end.")
    ] = True,
    timeout: Annotated[float, typer.Option(min=0, help="Longest wait, in seconds.")] = 60.0,
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds that `sent` is given to become `delivered`.")
    ] = 3.0,
    json: options.Json = False,
) -> None:
    """Send one message and show what becomes of it.

    Ends with 0 when it is sent, delivered or read, with 1 when it is not or is refused, with 75
    when the gateway does not answer. With --no-wait 0 means that it was accepted.

    \b
    gateway send --phone +14155550123 --text Hello --key gw_sandbox
    gateway send --email li@example.com --template login-code --data '{"code": "834201"}'
    gateway send --push-token 740f47 --phone +14155550123 --text Hi --chain push,sms --json
    """
    body = _without_empty(
        {
            "to": _without_empty(
                {
                    "phone": phone,
                    "email": email,
                    "push": [{"app": push_app, "token": one} for one in push_token or ()],
                    "wechat": wechat,
                    "wecom": wecom,
                }
            ),
            "content": _without_empty({"text": text, "subject": subject, "html": html}),
            "template": template,
            "data": _read_data(data),
            "category": category,
            "chain": [{"channel": one.strip()} for one in chain.split(",") if one.strip()],
        }
    )
    if not key:
        raise typer.BadParameter("give --key, or set GATEWAY_KEY")
    patience = _Wait(seconds=timeout if wait else 0.0, settle=settle)
    with exits.explained():
        message = serving.run(_send(url, key, body, patience))
    _show(message, json=json)
    if wait and message["state"] not in _GOOD:
        raise typer.Exit(exits.FAILED)


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _read_data(text: str) -> object:
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(f"--data is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter("--data is a JSON object")
    return found


async def _send(url: str, key: str, body: Mapping[str, Any], patience: _Wait) -> Mapping[str, Any]:
    async with Client(url, key) as client:
        accepted = await client.submit(body, key=uuid.uuid4().hex)
        if not patience.seconds:
            return accepted
        return await _follow(client, accepted["id"], patience)


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
        output.console().print(output.timeline(message))
    else:
        output.say(f"{message['id']}  {message['state']}")
