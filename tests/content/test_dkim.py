"""Signatures, verified by dkimpy with a DNS of the test's own."""

import base64
from collections.abc import Callable

import dkim as peer
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.content import dkim, mime

NOW_S = 1772366400
Key = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED25519 = ed25519.Ed25519PrivateKey.generate()
KEYS: dict[str, Key] = {"rsa": RSA, "ed25519": ED25519}


def pem(key: Key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


SIGNERS = {
    name: dkim.Signer(domain="Example.com", selector="s2026", key=pem(key))
    for name, key in KEYS.items()
}


def record(name: str) -> bytes:
    """What the domain publishes."""
    if name == "rsa":
        raw = RSA.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    else:
        raw = ED25519.public_key().public_bytes_raw()
    return f"v=DKIM1; k={name}; p={base64.b64encode(raw).decode()}".encode()


def is_valid(signed: bytes, name: str) -> bool:
    def lookup(question: bytes | str, timeout: int = 5) -> bytes:
        text = question.decode() if isinstance(question, bytes) else question
        assert text == "s2026._domainkey.example.com."
        return record(name)

    return bool(peer.verify(signed, dnsfunc=lookup))


def mail(**changes: object) -> bytes:
    fields: dict[str, object] = {
        "sender": mime.Mailbox(name="Example", address="no-reply@example.com"),
        "to": "li@example.net",
        "reference": "0195500a-5c00-7000-8000-000000000001-0-0-0",
        "now_ms": NOW_S * 1000,
        "subject": "Code",
        "text": "Your code is 4711.\n",
    }
    return mime.build(**{**fields, **changes})  # type: ignore[arg-type]


def signed(content: bytes, name: str) -> bytes:
    return SIGNERS[name].sign(content, now_s=NOW_S) + content


CONTENTS = {
    "plain": mail(),
    "two parts, long lines and 8 bit": mail(text="ü" * 40, html=f"<p>{'ü x' * 2000}</p>"),
    "no body": mail(text=""),
    "blanks": b"From:  a@example.com \r\nsubject:\t a \r\n\t b  c \r\n"
    b"\r\n\r\n a  b\t\r\n\t\r\n \r\n\r\n",
    "empty body": b"From: a@example.com\r\n\r\n",
    "body of empty lines": b"From: a@example.com\r\n\r\n\r\n \r\n\r\n",
    "no line end": b"From: a@example.com\r\n\r\nx",
    "two of a name": b"From: a@example.com\r\nTo: b@example.com\r\nTo: c@example.com\r\n\r\nx\r\n",
    "dots": mail(text=".\n..\n.x\n"),
    "utf-8 header": mail(to="李@example.net"),
    "8bit": "From: a@example.com\r\nSubject: 例え\r\n\r\n例え  例え\r\n".encode(),
    "unsubscribe": mail(unsubscribe=["https://u.example/1"], automatic=False),
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("case", CONTENTS)
def test_signature_is_valid_for_another_implementation(case: str, name: str) -> None:
    assert is_valid(signed(CONTENTS[case], name), name)


@pytest.mark.parametrize("name", KEYS)
def test_stuffed_and_unstuffed_again_it_is_still_valid(name: str) -> None:
    raw = b"\r\n" + signed(CONTENTS["dots"], name)

    stuffed = raw.replace(b"\r\n.", b"\r\n..")

    assert is_valid(stuffed.replace(b"\r\n.", b"\r\n")[2:], name)


LINES = st.lists(st.text(" \tabc.ü", max_size=12), max_size=6)


@given(body=LINES, subject=st.text(" \tabcü", max_size=20))
@settings(deadline=None, max_examples=60)
def test_any_blanks_are_hashed_as_the_other_implementation_hashes_them(
    body: list[str], subject: str
) -> None:
    content = "\r\n".join([f"Subject: {subject}", "From: a@example.com", "", *body, ""])

    assert is_valid(signed(content.encode(), "ed25519"), "ed25519")


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.replace(b"4711", b"4712"),
        lambda raw: raw.replace(b"Subject: Code", b"Subject: Prize"),
        lambda raw: b"From: evil@example.org\r\n" + raw,
        lambda raw: b"Subject: Prize\r\n" + raw,
        lambda raw: b"Reply-To: evil@example.org\r\n" + raw,
        lambda raw: b"Cc: more@example.org\r\n" + raw,
        lambda raw: b'Content-Type: text/html; boundary="x"\r\n' + raw,
        lambda raw: b"List-Unsubscribe: <https://evil.example>\r\n" + raw,
        lambda raw: raw + b"more\r\n",
    ],
)
@pytest.mark.parametrize("name", KEYS)
def test_what_is_changed_or_put_in_front_breaks_it(
    name: str, change: Callable[[bytes], bytes]
) -> None:
    assert not is_valid(change(signed(mail(), name)), name)


def test_what_relays_add_does_not_break_it() -> None:
    added = b"Received: from gw by mx; today\r\nReturn-Path: <a@example.com>\r\n"

    assert is_valid(added + signed(mail(), "rsa"), "rsa")


def test_both_list_fields_are_covered() -> None:
    content = CONTENTS["unsubscribe"]

    field = SIGNERS["rsa"].sign(content, now_s=NOW_S)

    names = b"".join(field.partition(b" h=")[2].partition(b";")[0].split()).split(b":")
    assert names.count(b"list-unsubscribe") == names.count(b"list-unsubscribe-post") == 2
    assert names.count(b"from") == 2
    assert names.count(b"cc") == 1
    assert all(len(line) <= 78 for line in field.split(b"\r\n"))


def test_two_signatures_stand_side_by_side() -> None:
    content = mail()
    both = b"".join(SIGNERS[name].sign(content, now_s=NOW_S) for name in KEYS) + content

    verifier = peer.DKIM(both)

    assert verifier.verify(0, dnsfunc=lambda *_, **__: record("rsa"))
    assert verifier.verify(1, dnsfunc=lambda *_, **__: record("ed25519"))


@pytest.mark.parametrize(
    "fields",
    [
        {"key": "secret words"},
        {"key": pem(ec.generate_private_key(ec.SECP256R1()))},
        {"domain": "exa mple.com"},
        {"domain": "a;b"},
        {"selector": ""},
    ],
)
def test_what_cannot_sign_is_refused_without_a_word_of_the_key(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"key|domain") as caught:
        dkim.Signer(**{"domain": "example.com", "selector": "a", "key": pem(ED25519), **fields})

    assert "secret" not in str(caught.value)
