"""The SMTP provider: envelopes, and the meaning of every kind of reply."""

import base64
import email
import email.policy
import re
from collections.abc import Callable
from pathlib import Path

import dkim as peer
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import errors, wire
from gateway.providers import smtp, smtp_replies

Make = Callable[..., smtp.Provider]
Message = Callable[..., wire.Message]

SECRET = "of the mail system"
EXIT = "unsubscribe+{reference}@example.com"

#: As the classes of the table map to results: type, scope or cause, suppression, wait.
CLASSES = {
    "OK": (wire.Accepted, None, False, None),
    "PERM_RCPT": (wire.Rejected, wire.Scope.RECIPIENT, True, None),
    "NO_ROUTE": (wire.Rejected, wire.Scope.RECIPIENT, False, None),
    "PERM_MSG": (wire.Rejected, wire.Scope.MESSAGE, False, None),
    "POLICY": (wire.Rejected, wire.Scope.PROVIDER, False, None),
    "THROTTLE": (wire.Deferred, wire.Cause.THROTTLED, False, None),
    "QUOTA": (wire.Deferred, wire.Cause.THROTTLED, False, 3600.0),
    "TEMP": (wire.Deferred, wire.Cause.TEMPORARY, False, None),
    "GREYLIST": (wire.Deferred, wire.Cause.TEMPORARY, False, 300.0),
    "MBOX_FULL": (wire.Deferred, wire.Cause.RECIPIENT, False, 3600.0),
    "AUTH": (wire.Deferred, wire.Cause.CREDENTIAL, False, None),
    "CONN": (wire.Deferred, wire.Cause.TEMPORARY, False, None),
    "CONNECT": (wire.Deferred, wire.Cause.CONNECT, False, None),
    "UNREADABLE": (wire.Unknown, None, False, None),
}


def table() -> list[tuple[str, str, int, str]]:
    lines = (Path(__file__).parent / "smtp" / "replies.txt").read_text().splitlines()
    rows = [line.split("|", 3) for line in lines if not line.startswith("#")]
    return [(a.strip(), b.strip(), int(c), d.strip()) for a, b, c, d in rows]


def reply(code: int, text: str, stage: str) -> wire.SmtpReply:
    return wire.SmtpReply(code=code, text=text, stage=stage, recipient="li@example.com")


def shape(result: wire.AttemptResult) -> tuple[type, object, bool, float | None]:
    return (
        type(result),
        getattr(result, "scope", None) or getattr(result, "cause", None),
        getattr(result, "suppress", False),
        getattr(result, "retry_after", None),
    )


@pytest.mark.parametrize(("name", "stage", "code", "text"), table())
def test_reply_means_what_the_table_says(name: str, stage: str, code: int, text: str) -> None:
    assert shape(smtp_replies.read(reply(code, text, stage))) == CLASSES[name]


def test_every_class_of_the_table_is_tried() -> None:
    assert {row[0] for row in table()} == set(CLASSES)


@given(
    st.integers(0, 999),
    st.text() | st.from_regex(r"[245]\.[0-7]\.\d{1,3} .*"),
    st.sampled_from(["connect", "starttls", "auth", "mail", "rcpt", "data", "content"]),
)
def test_any_reply_has_a_meaning_and_only_the_final_one_can_be_a_success(
    code: int, text: str, stage: str
) -> None:
    result = smtp_replies.read(reply(code, text, stage))

    assert isinstance(result, wire.Accepted) == (stage == "content" and 200 <= code < 300)
    if isinstance(result, wire.Rejected):
        assert 500 <= code < 600
        assert not result.suppress or stage in ("rcpt", "content")
    if 400 <= code < 500:
        assert isinstance(result, wire.Deferred)


def test_code_and_words_are_kept_without_addresses() -> None:
    text = (
        "5.1.1 <li@example.com>: Recipient\n5.1.1 rejected for li@example.com \x1b[31m" + "x" * 999
    )

    result = smtp_replies.read(reply(550, text, "rcpt"))

    assert isinstance(result, wire.Rejected)
    assert result.code == "550 5.1.1"
    assert result.detail.startswith("<address>: Recipient 5.1.1 rejected for <address>")
    assert result.detail.isprintable()
    assert len(result.detail) == 200


def test_longest_reply_is_read_in_no_time() -> None:
    # Patterns that go back over 64 KiB would take minutes.
    for text in ("a" * 65536, "user " * 13000, "a@" * 32768, "2.0.0 Ok " + "a-" * 32000):
        smtp_replies.read(reply(550, text, "rcpt"))
        smtp_replies.read(reply(250, text, "content"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("2.0.0 Ok: queued as 4bXyz1234zQ", "4bXyz1234zQ"),
        ("OK id=1sAbCd-000000007Xy-2abc", "1sAbCd-000000007Xy-2abc"),
        ("2.0.0 52A0Vd5c004242 Message accepted for delivery", "52A0Vd5c004242"),
        (
            "2.6.0 <a@b.example> [InternalId=1234567890, Hostname=x] Queued mail for delivery",
            "1234567890",
        ),
        (
            "Ok 0100018f1a2b3c4d-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee-000000",
            "0100018f1a2b3c4d-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee-000000",
        ),
        ("Ok: queued as vtPXkYBxQHqWSqXSAGQbPg", "vtPXkYBxQHqWSqXSAGQbPg"),
        ("2.0.0 Ok", ""),
        ("OK", ""),
        ("Great success", ""),
        ("", ""),
    ],
)
def test_queue_id_is_found_in_the_final_reply(text: str, name: str) -> None:
    assert smtp_replies.read(reply(250, text, "content")) == wire.Accepted(provider_id=name)


def test_envelope_carries_the_message(make: Make, message: Message) -> None:
    provider = make("smtp", {"from": "Example <no-reply@example.com>"}, reply_to="help@example.com")
    asked = message(content=wire.Content(subject="Code", text="4711", html="<p>4711</p>"))

    ((about, envelope),) = provider.build_envelopes([asked])

    parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert about is asked
    assert envelope.sender == "no-reply@example.com"
    assert envelope.recipients == ("li@example.com",)
    assert (envelope.mail_options, envelope.rcpt_options) == ((), ())
    assert parsed["From"] == "Example <no-reply@example.com>"
    assert parsed["To"] == "li@example.com"
    assert parsed["Reply-To"] == "help@example.com"
    assert parsed["Subject"] == "Code"
    assert parsed["Message-ID"] == f"<{asked.reference}@example.com>"
    assert parsed["Date"] == "Sun, 01 Mar 2026 12:00:00 +0000"
    assert parsed["Auto-Submitted"] == "auto-generated"


def test_each_message_gets_its_own_envelope(make: Make, message: Message) -> None:
    messages = [message(to=wire.Address(email=f"{n}@example.com")) for n in range(3)]

    pairs = make("smtp").build_envelopes(messages)

    assert [about for about, _ in pairs] == messages
    assert [envelope.recipients for _, envelope in pairs] == [
        (f"{n}@example.com",) for n in range(3)
    ]


def test_bounces_name_our_reference_and_go_where_they_are_wanted(
    make: Make, message: Message
) -> None:
    provider = make("smtp", dsn=True, envelope_sender="bounce@example.com")
    asked = message(to=wire.Address(email="li+a=b@example.com"))

    ((_, envelope),) = provider.build_envelopes([asked])

    assert envelope.sender == "bounce@example.com"
    assert envelope.mail_options == ("RET=HDRS", f"ENVID={asked.reference}")
    assert envelope.rcpt_options == ("NOTIFY=FAILURE", "ORCPT=rfc822;li+2Ba+3Db@example.com")


@pytest.mark.parametrize("uris", ["https://u.example/8f3c", ["https://u.example/8f3c"]])
def test_marketing_can_be_unsubscribed_from(make: Make, message: Message, uris: object) -> None:
    content = wire.Content(subject="News", text="…", extra={"list_unsubscribe": uris})

    ((_, envelope),) = make("smtp").build_envelopes(
        [message(category="marketing", content=content)]
    )

    parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert parsed["List-Unsubscribe"] == "<https://u.example/8f3c>"
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert parsed["Auto-Submitted"] is None


@pytest.mark.parametrize("link", ["", "https://gw.example.com/u/8f3c"])
def test_list_can_be_left_by_a_mail_to_an_address_of_the_messages_own(
    make: Make, message: Message, link: str
) -> None:
    provider = make("smtp", unsubscribe=EXIT, receipt_secret=SECRET)
    content = wire.Content(text="…", extra={"list_unsubscribe": link, "can_leave": True})

    ((_, envelope),) = provider.build_envelopes([message(content=content)])

    parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
    *links, exit_ = (one.strip(" <>") for one in parsed["List-Unsubscribe"].split(","))
    assert links == [link] * bool(link)
    assert re.fullmatch(
        r"mailto:unsubscribe\+[a-z2-7]{47}@example\.com\?subject=unsubscribe", exit_
    )
    assert (parsed["List-Unsubscribe-Post"] is not None) == bool(link)
    assert parsed["Auto-Submitted"] is None


@pytest.mark.parametrize("extra", [{}, {"list_unsubscribe": "https://shop.example.com/leave"}])
def test_mail_that_is_no_list_or_has_a_link_of_the_callers_has_no_such_address(
    make: Make, message: Message, extra: dict[str, str]
) -> None:
    provider = make("smtp", unsubscribe=EXIT, receipt_secret=SECRET)

    ((_, envelope),) = provider.build_envelopes(
        [message(content=wire.Content(text="…", extra=extra))]
    )

    assert b"mailto:" not in envelope.content


def test_domains_go_in_ascii_and_are_not_taken_for_others(make: Make, message: Message) -> None:
    asked = message(to=wire.Address(email="li@faß.example"))

    ((_, envelope),) = make("smtp", {"from": "例 <no-reply@例え.jp>"}).build_envelopes([asked])

    assert envelope.recipients == ("li@xn--fa-hia.example",)
    assert envelope.sender == "no-reply@xn--r8jz45g.jp"
    assert envelope.content.isascii()


def test_local_part_outside_ascii_stays(make: Make, message: Message) -> None:
    asked = message(to=wire.Address(email="李@example.com"))

    ((_, envelope),) = make("smtp", dsn=True).build_envelopes([asked])

    assert envelope.recipients == ("李@example.com",)
    assert envelope.rcpt_options == ("NOTIFY=FAILURE", "ORCPT=utf-8;\\x{674E}@example.com")


@pytest.mark.parametrize(
    ("recipient", "original"),
    [
        ("a+b=c@example.com", "rfc822;a+2Bb+3Dc@example.com"),
        ('"a b"@example.com', 'rfc822;"a+20b"@example.com'),
        ("ü+a=b@example.com", "utf-8;\\x{FC}\\x{2B}a\\x{3D}b@example.com"),
        ("😀@example.com", "utf-8;\\x{1F600}@example.com"),
    ],
)
def test_original_recipient_is_written_as_its_type_wants(
    make: Make, message: Message, recipient: str, original: str
) -> None:
    asked = message(to=wire.Address(email=recipient))

    ((_, envelope),) = make("smtp", dsn=True).build_envelopes([asked])

    assert envelope.rcpt_options == ("NOTIFY=FAILURE", f"ORCPT={original}")


def test_original_recipient_that_is_too_long_is_left_out(make: Make, message: Message) -> None:
    asked = message(to=wire.Address(email=f"{'李' * 60}@example.com"))

    ((_, envelope),) = make("smtp", dsn=True).build_envelopes([asked])

    assert envelope.rcpt_options == ("NOTIFY=FAILURE",)


def test_delivery_is_reported_only_if_asked_for_and_believed(make: Make, message: Message) -> None:
    told = {wire.ReceiptEvent.DELIVERED}
    provider = make("smtp", dsn=True, dsn_success=True, receipt_secret=SECRET)

    ((_, envelope),) = provider.build_envelopes([message()])

    assert envelope.rcpt_options[0] == "NOTIFY=SUCCESS,FAILURE"
    assert provider.reports == told
    assert make("smtp", dsn=True, dsn_success=True).reports == frozenset()
    assert make("smtp", dsn=True, receipt_secret=SECRET).reports == frozenset()


def test_each_message_has_a_sender_of_its_own_that_fits(make: Make, message: Message) -> None:
    provider = make("smtp", bounce="bounces+{reference}@example.com", receipt_secret=SECRET)
    messages = [
        message(reference=f"0195500a-5c00-7000-8000-000000000001-0-{n}-0") for n in range(3)
    ]

    senders = [envelope.sender for _, envelope in provider.build_envelopes(messages)]

    assert len(set(senders)) == 3
    for sender in senders:
        assert re.fullmatch(r"bounces\+[a-z2-7]{47}@example\.com", sender)


def test_message_whose_name_is_too_long_has_the_common_sender(make: Make, message: Message) -> None:
    settings = {"bounce": "bounces+{reference}@example.com", "envelope_sender": "b@example.com"}
    provider = make("smtp", settings, receipt_secret=SECRET)
    asked = message(reference="0195500a-5c00-7000-8000-000000000001-fffffff-fffffff-fffffff")

    ((_, envelope),) = provider.build_envelopes([asked])

    assert envelope.sender == "b@example.com"


def test_our_name_is_in_the_header_where_bounces_are_read(make: Make, message: Message) -> None:
    ((_, silent),) = make("smtp").build_envelopes([message()])
    ((_, told),) = make("smtp", receipt_secret=SECRET).build_envelopes([message()])

    name = f"X-Gateway-Reference: {message().reference}\r\n".encode()
    assert told.content == name + silent.content


@pytest.mark.parametrize("to", ["li@example.com", "李@例え.jp"])
def test_signed_mail_is_valid_for_another_implementation(
    make: Make, message: Message, rsa_pem: str, rsa_key: rsa.RSAPrivateKey, to: str
) -> None:
    ed25519_key = ed25519.Ed25519PrivateKey.generate()
    ed25519_pem = ed25519_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    der = rsa_key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    raw = ed25519_key.public_key().public_bytes_raw()
    zone = {
        b"r._domainkey.example.com.": b"v=DKIM1; k=rsa; p=" + base64.b64encode(der),
        b"e._domainkey.example.com.": b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw),
    }
    keys = [
        {"domain": "example.com", "selector": "r", "key": rsa_pem},
        {"domain": "example.com", "selector": "e", "key": ed25519_pem},
    ]
    content = wire.Content(subject="例え " * 30, text=".\n..例え  \n\n", html="<p>.</p>\n.")
    provider = make("smtp", dkim=keys, receipt_secret=SECRET)

    ((_, envelope),) = provider.build_envelopes(
        [message(to=wire.Address(email=to), content=content)]
    )

    verifier = peer.DKIM(envelope.content)
    assert envelope.content.count(b"DKIM-Signature:") == 2
    for at in (0, 1):
        assert verifier.verify(at, dnsfunc=lambda name, timeout=5: zone[name])
    assert make("smtp", dkim=keys[1]).build_envelopes([message()])
    assert ed25519_pem not in repr(provider.settings)


@pytest.mark.parametrize("subject", ["a\r\nBcc: x@evil.example", "a\x00b"])
def test_subject_that_no_header_can_hold_is_refused(
    make: Make, message: Message, subject: str
) -> None:
    with pytest.raises(ValueError, match="control characters"):
        make("smtp").build_envelopes([message(content=wire.Content(subject=subject))])


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"from": "nobody"}, "from"),
        ({"from": ""}, "from"),
        ({"from": "A <a@example.com>, B <b@example.com>"}, "from"),
        ({"from": "A\r\nBcc: x@evil.example <a@example.com>"}, "from"),
        ({"reply_to": "nobody"}, "reply_to"),
        ({"envelope_sender": "nobody"}, "envelope_sender"),
        ({"host": ""}, "host"),
        ({"port": 0}, "port"),
        ({"port": 70000}, "port"),
        ({"messages_per_connection": 0}, "messages_per_connection"),
        ({"security": "none", "username": "u"}, "security"),
        ({"security": "ssl"}, "security"),
        ({"dsn_success": True}, "dsn_success"),
        ({"receipt_secret_previous": "s"}, "receipt_secret_previous"),
        ({"bounce": "b+{reference}@example.com"}, "bounce"),
        ({"bounce": "b+{reference}@example.com", "receipt_secret": "short"}, "bounce"),
        ({"receipt_secret": SECRET, "bounce": "b@example.com"}, "bounce"),
        ({"receipt_secret": SECRET, "bounce": "b@{reference}.example.com"}, "bounce"),
        ({"receipt_secret": SECRET, "bounce": "b {reference}@example.com"}, "bounce"),
        ({"receipt_secret": SECRET, "bounce": "b" * 18 + "{reference}@example.com"}, "bounce"),
        ({"unsubscribe": EXIT}, "unsubscribe"),
        ({"unsubscribe": EXIT, "receipt_secret": "short"}, "unsubscribe"),
        ({"receipt_secret": SECRET, "unsubscribe": "u@example.com"}, "unsubscribe"),
        ({"receipt_secret": SECRET, "unsubscribe": "u" * 18 + EXIT}, "unsubscribe"),
        ({"receipt_secret": SECRET, "unsubscribe": EXIT, "bounce": EXIT}, "unsubscribe"),
        ({"dkim": {"domain": "example.com", "selector": "a", "key": "none"}}, "dkim"),
        ({"dkim": {"domain": "example.com", "selector": "a"}}, "dkim.key"),
    ],
)
def test_settings_that_cannot_work_are_faults(
    make: Make, settings: dict[str, object], key: str
) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        make("smtp", settings)

    assert [fault.partition(":")[0] for fault in caught.value.faults] == [f"providers.main.{key}"]


def test_password_goes_in_plain_text_to_the_same_machine_only(make: Make) -> None:
    for host in ("localhost", "127.0.0.1", "::1"):
        make("smtp", host=host, security="none", username="u", password="p")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("no-reply@example.com", ""),
        ("<no-reply@example.com>", ""),
        ("Example <no-reply@example.com>", "Example"),
        ('"Doe, J. \\"JD\\"" <no-reply@example.com>', 'Doe, J. "JD"'),
        ("示例公司 <no-reply@example.com>", "示例公司"),
    ],
)
def test_from_is_read_as_people_write_it(
    make: Make, message: Message, text: str, name: str
) -> None:
    ((_, envelope),) = make("smtp", {"from": text}).build_envelopes([message()])

    parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
    (address,) = parsed["From"].addresses
    assert (address.display_name, address.addr_spec) == (name, "no-reply@example.com")
