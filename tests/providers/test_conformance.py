"""What holds for every kind of provider, without knowing which there are.

A new kind needs working settings in `<kind>/settings.json`; then all of this covers it.
"""

import ast
import inspect
import io
import json
import re
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gateway
from gateway.clock import Clock
from gateway.model import errors, smpp, wire
from gateway.model.values import replace
from gateway.providers import base, registry

Make = Callable[..., Any]
Message = Callable[..., wire.Message]


def kinds_over(protocol: type) -> list[str]:
    loaded = {kind: cast(type, registry.load(kind).Provider) for kind in registry.kinds()}
    return [kind for kind, provider in loaded.items() if protocol in provider.__mro__]


KINDS = registry.kinds()
HTTP_KINDS = kinds_over(base.HttpProvider)
SMTP_KINDS = kinds_over(base.SmtpProvider)
SMPP_KINDS = kinds_over(base.SmppProvider)
RESULTS = (wire.Accepted, wire.Rejected, wire.Deferred, wire.Unknown)
MAX_LINES = 300
SECRET = re.compile(r"secret|token$|token_previous|password|_key$|service_account|headers")


def source(kind: str) -> str:
    return Path(inspect.getfile(registry.load(kind).Settings)).read_text()


@pytest.fixture(name="provider", params=KINDS)
def fixture_provider(request: pytest.FixtureRequest, make: Make) -> Any:
    return make(request.param)


@pytest.fixture(name="http", params=HTTP_KINDS)
def fixture_http(request: pytest.FixtureRequest, make: Make) -> base.HttpProvider:
    provider: base.HttpProvider = make(request.param)
    return provider


@pytest.fixture(name="message")
def fixture_message(request: pytest.FixtureRequest, message: Message) -> Message:
    """Messages to somebody whom the kind can reach: its `address.json`, where there is one."""
    kind = request.getfixturevalue("http").name if "http" in request.fixturenames else ""
    path = Path(__file__).parent / kind / "address.json"
    if not kind or not path.exists():
        return message
    to = wire.Address(**json.loads(path.read_text()))
    return lambda **changes: message(**{"to": to, **changes})


@pytest.fixture(name="smtp", params=SMTP_KINDS)
def fixture_smtp(request: pytest.FixtureRequest, make: Make) -> base.SmtpProvider:
    provider: base.SmtpProvider = make(request.param)
    return provider


@pytest.fixture(name="centre", params=SMPP_KINDS)
def fixture_centre(request: pytest.FixtureRequest, make: Make) -> base.SmppProvider:
    provider: base.SmppProvider = make(request.param)
    return provider


@pytest.mark.parametrize("kind", KINDS)
def test_kind_has_settings_to_test_it_with(kind: str) -> None:
    assert (Path(__file__).parent / kind / "settings.json").exists()


def test_each_kind_subclasses_one_protocol() -> None:
    assert sorted(HTTP_KINDS + SMPP_KINDS + SMTP_KINDS) == KINDS


def test_provider_has_the_attributes_of_all_providers(provider: Any) -> None:
    assert provider.account == "main"
    assert provider.name == type(provider).__module__.rpartition(".")[2]
    assert provider.batch_limit >= 1
    assert isinstance(provider.channel, wire.Channel)
    assert provider.reports <= {wire.ReceiptEvent.DELIVERED, wire.ReceiptEvent.READ}


@pytest.mark.parametrize("kind", KINDS)
def test_file_is_short_and_says_where_the_facts_come_from(kind: str) -> None:
    text = source(kind)
    docstring = ast.get_docstring(ast.parse(text)) or ""

    assert len(text.splitlines()) <= MAX_LINES
    assert re.search(r"https://|RFC \d+", docstring)


@pytest.mark.parametrize("kind", KINDS)
def test_each_setting_is_documented_and_secrets_do_not_print(kind: str) -> None:
    text = source(kind)
    lines = text.splitlines()
    comments = {
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and token.string.startswith("#:")
    }

    for name, line in settings_fields(text):
        above = next(at for at in range(line - 1, 0, -1) if not lines[at - 1].startswith("    # "))
        assert above in comments, f"{kind}.{name} has no #: line"
    for one in registry.load(kind).Settings.__dataclass_fields__.values():
        assert not SECRET.search(one.name) or not one.repr, f"{kind}.{one.name} prints"


def settings_fields(text: str) -> Iterator[tuple[str, int]]:
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name in ("Settings", "Receipt"):
            for item in node.body:
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    yield item.target.id, item.lineno


def test_built_twice_from_the_same_settings_it_says_the_same(
    http: base.HttpProvider, make: Make, message: Message
) -> None:
    again = make(http.name)

    assert built(again, message()) == built(http, message())


def built(provider: base.HttpProvider, message: wire.Message) -> list[wire.HttpRequest]:
    """Requests without bodies that are sealed anew each time (RFC 8291 §3.1)."""
    return [
        replace(one, body=b"") if one.headers.get("content-encoding") == "aes128gcm" else one
        for _, one in provider.build_requests([message])
    ]


#: No deadline, since the machine may be busy; providers keep nothing between examples.
STEADY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXTS = st.text(max_size=20)
CONTENTS = st.builds(
    wire.Content,
    text=TEXTS,
    subject=TEXTS,
    title=TEXTS,
    html=TEXTS,
    extra=st.dictionaries(
        st.sampled_from(["image", "link", "data", "badge", "sound", "collapse_key", "secrets"]),
        st.one_of(
            TEXTS,
            st.none(),
            st.integers(-9, 9),
            st.lists(TEXTS, max_size=2),
            st.dictionaries(TEXTS, TEXTS | st.integers(-9, 9), max_size=3),
        ),
    ),
)


@given(contents=st.lists(CONTENTS, min_size=1, max_size=4), expired=st.booleans())
@settings(STEADY, max_examples=50)
def test_each_message_is_carried_exactly_once(
    http: base.HttpProvider,
    message: Message,
    now: Any,
    contents: list[wire.Content],
    expired: bool,
) -> None:
    changes = {"expires_at": now} if expired else {}
    templates = message().content.provider_templates
    messages = [
        message(id=str(index), content=replace(content, provider_templates=templates), **changes)
        for index, content in enumerate(contents)
    ]

    built = http.build_requests(messages)

    carried = [one.id for part, _ in built for one in part]
    assert sorted(carried) == sorted(one.id for one in messages)
    for part, request in built:
        assert 1 <= len(part) <= http.batch_limit
        assert re.match(r"https?://", request.url)
        assert not any(set(value) & set("\r\n\0") for value in request.headers.values())


NAMES = ["error", "code", "status", "details", "@type", "errorCode", "sid", "name", "message"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*NAMES, "id", "data", "violations", "report", "ref"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
BODIES = st.one_of(st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode()))
HEADER_NAMES = "retry-after content-type x-twilio-signature date webhook-id webhook-timestamp"
HEADERS = st.dictionaries(
    st.sampled_from([*HEADER_NAMES.split(), "webhook-signature"]),
    st.one_of(
        TEXTS, st.sampled_from(["5", "-1", "Wed, 21 Oct 2099 07:28:00 GMT", "v1,", "\udcff"])
    ),
)


@given(status=st.integers(100, 599), headers=HEADERS, body=BODIES, count=st.integers(1, 3))
@settings(STEADY, max_examples=100)
def test_any_answer_gives_one_result_for_each_message(
    http: base.HttpProvider,
    message: Message,
    status: int,
    headers: dict[str, str],
    body: bytes,
    count: int,
) -> None:
    messages = [message(id=str(index)) for index in range(min(count, http.batch_limit))]
    response = wire.HttpResponse(status=status, headers=headers, body=body)

    results = http.read_response(messages, response)

    assert len(results) == len(messages)
    for one in results:
        assert isinstance(one, RESULTS)
        assert isinstance(one, wire.Accepted) or one.code
        assert 200 <= status < 300 or not isinstance(one, wire.Accepted)


@given(headers=HEADERS, body=BODIES, query=st.sampled_from(["", "?bodySHA256=0", "?reference=1"]))
@settings(STEADY, max_examples=100)
def test_garbage_is_no_receipt(
    http: base.HttpProvider, headers: dict[str, str], body: bytes, query: str
) -> None:
    url = f"https://gw.example.com/v1/receipts/main{query}"
    request = wire.HttpRequest(method="POST", url=url, headers=headers, body=body)

    assert not http.verify_receipt(request)
    try:
        receipts = http.read_receipts(request)
        inbound = http.read_inbound(request)
    except errors.UnreadableReceipt:
        return
    assert all(one.provider_id or one.reference for one in receipts)
    assert not (receipts and inbound)


@given(status=st.integers(100, 599), body=BODIES)
@settings(STEADY, max_examples=100)
def test_any_answer_of_a_token_endpoint_is_readable(
    http: base.HttpProvider, status: int, body: bytes
) -> None:
    if http.credential is None:
        return

    answer = http.credential.read_token(wire.HttpResponse(status=status, body=body))

    assert isinstance(answer, wire.Token | wire.Deferred)


def test_clock_is_the_only_source_of_time(
    http: base.HttpProvider, make: Make, message: Message, clock: Clock
) -> None:
    source_of_time = re.compile(r"\b(time\.time|datetime\.now|utcnow|monotonic)\b")

    assert not source_of_time.search(source(http.name))


@given(
    code=st.integers(0, 999),
    text=st.text(max_size=60),
    stage=st.sampled_from(["connect", "starttls", "auth", "mail", "rcpt", "data", "content"]),
)
@settings(STEADY, max_examples=100)
def test_any_reply_of_a_relay_gives_a_result(
    smtp: base.SmtpProvider, message: Message, code: int, text: str, stage: str
) -> None:
    reply = wire.SmtpReply(code=code, text=text, stage=stage)

    result = smtp.read_reply(message(channel=wire.Channel.EMAIL), reply)

    assert isinstance(result, RESULTS)
    assert 200 <= code < 300 or not isinstance(result, wire.Accepted)


@given(headers=HEADERS, body=BODIES)
@settings(STEADY, max_examples=100)
def test_garbage_is_no_bounce(
    smtp: base.SmtpProvider, headers: dict[str, str], body: bytes
) -> None:
    url = "https://gw.example.com/v1/receipts/main"
    for kind in ({}, {"content-type": "message/rfc822"}):
        request = wire.HttpRequest(method="POST", url=url, headers={**headers, **kind}, body=body)

        assert not smtp.verify_receipt(request)
        try:
            assert not smtp.read_receipts(request)
        except errors.UnreadableReceipt:
            continue


@given(status=st.integers(0, 2**32 - 1), id_=st.text(max_size=64), at_bind=st.booleans())
@settings(STEADY, max_examples=100)
def test_any_answer_of_a_message_centre_gives_a_result(
    centre: base.SmppProvider, status: int, id_: str, at_bind: bool
) -> None:
    result = centre.read_answer(smpp.Answer(status=status, message_id=id_, at_bind=at_bind))

    assert isinstance(result, RESULTS)
    assert isinstance(result, wire.Accepted) == (status == smpp.OK)
    if at_bind and status:
        assert isinstance(result, wire.Deferred)


@given(
    esm_class=st.integers(0, 255),
    data_coding=st.integers(0, 255),
    text=st.one_of(st.binary(max_size=254), st.from_regex(rb"id:\w+ stat:[A-Z]+ err:\d+ text:.*")),
    parameters=st.dictionaries(
        st.sampled_from([0x001E, 0x0423, 0x0424, 0x0427, 0x1400]), st.binary(max_size=80)
    ),
)
@settings(STEADY, max_examples=200)
def test_anything_that_is_delivered_is_read_or_refused(
    centre: base.SmppProvider,
    esm_class: int,
    data_coding: int,
    text: bytes,
    parameters: dict[int, bytes],
) -> None:
    delivery = smpp.Delivery(
        source="447700900000",
        destination="Acme",
        esm_class=esm_class,
        data_coding=data_coding,
        message=text,
        parameters=parameters,
    )

    try:
        brought = centre.read_delivery(delivery)
    except errors.UnreadableReceipt:
        return

    assert not isinstance(brought, wire.DeliveryReceipt) or brought.provider_id


GATEWAY = Path(gateway.__file__).parent
#: Names that are also those of a channel or a protocol, or words of their own.
WORDS = frozenset({*wire.Channel, "endpoint", "http", "smpp", "smtp", "webpush"})
#: Simulators and their stand, and examples of the API's description, name what they show.
NAMED = frozenset({"sandbox", "cli"})


def words_of(path: Path) -> set[str]:
    """Names and texts of a module's code, comments and docstrings aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            found |= set(re.split(r"[^a-z0-9_]+", node.value.lower()))
        elif isinstance(node, ast.Name):
            found.add(node.id.lower())
        elif isinstance(node, ast.alias):
            found |= set(node.name.lower().split("."))
    return found


def test_each_kind_is_named_in_providers_files_only() -> None:
    """What is shared knows none of them. Two services of one company may have words in common."""
    kinds = sorted(set(KINDS) - WORDS)
    shared = [
        path
        for path in GATEWAY.rglob("*.py")
        if path.relative_to(GATEWAY).parts[0] not in NAMED
        and not (path.parent.name == "providers" and path.stem.startswith(tuple(KINDS)))
    ]

    found = {str(path.relative_to(GATEWAY)): words_of(path) & set(kinds) for path in shared}

    assert {place: names for place, names in found.items() if names} == {
        "api/examples.py": {"aliyun"}
    }
