"""Signatures for Amazon Web Services, by published vectors and by Amazon's own library."""

from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import wire
from gateway.providers import sigv4

ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#: 2015-08-30 12:36:00 UTC, of all published vectors
AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
AT_MS = int(AT.timestamp() * 1000)


def signer(service: str, token: str = "") -> sigv4.Signer:
    return sigv4.Signer(
        access_key_id=ID,
        secret_access_key=SECRET,
        session_token=token,
        region="us-east-1",
        service=service,
    )


def authorization(request: wire.HttpRequest, service: str) -> str:
    return signer(service).sign(request, now_ms=AT_MS).headers["authorization"]


def test_vector_of_a_mail() -> None:
    body = (
        b'{"FromEmailAddress":"sender@example.com","Destination":{"ToAddresses":'
        b'["rcpt@example.org"]},"Content":{"Simple":{"Subject":{"Data":"Hello","Charset":"UTF-8"},'
        b'"Body":{"Text":{"Data":"Hi","Charset":"UTF-8"}}}}}'
    )
    request = wire.HttpRequest(
        method="POST",
        url="https://email.us-east-1.amazonaws.com/v2/email/outbound-emails",
        headers={"Content-Type": "application/json"},
        body=body,
    )

    assert authorization(request, "ses") == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/ses/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=7eddfcce97278a358358e8508c0b0f6c4d00c0791c7f3c6d5801f715dbf45aa5"
    )


def test_vector_of_the_signing_key() -> None:
    key = sigv4.signing_key(SECRET, "20150830", "us-east-1", "ses")

    assert key.hex() == "014f8b93dc29e3ee7ef062512b3883d17b978ea40bcb697e6e861e81a8a5a60b"


def test_vector_post_vanilla_of_the_suite() -> None:
    request = wire.HttpRequest(method="POST", url="https://example.amazonaws.com/")

    assert authorization(request, "service").endswith(
        "SignedHeaders=host;x-amz-date, "
        "Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
    )


def by_botocore(request: wire.HttpRequest, service: str, token: str = "") -> str:
    """The Authorization header as botocore makes it of the same request."""
    auth = SigV4Auth(Credentials(ID, SECRET, token or None), service, "us-east-1")
    theirs = AWSRequest(
        method=request.method, url=request.url, headers=dict(request.headers), data=request.body
    )
    theirs.context["timestamp"] = AT.strftime("%Y%m%dT%H%M%SZ")
    auth._modify_request_before_signing(theirs)
    text = auth.string_to_sign(theirs, auth.canonical_request(theirs))
    auth._inject_signature_to_request(theirs, auth.signature(text, theirs))
    return str(theirs.headers["Authorization"])


PATHS = st.lists(
    st.sampled_from(["a", "b%20c", "..", ".", "", "%E2%82%AC", "x~y", "k:v", "a=b"]), max_size=4
)
QUERIES = st.lists(
    st.tuples(st.sampled_from(["a", "a-b", "Z", "%25"]), st.sampled_from(["", "=", "=1", "=%20"])),
    max_size=4,
)


@given(
    parts=PATHS,
    query=QUERIES,
    host=st.sampled_from(["example.com", "example.com:443", "127.0.0.1:8080"]),
    value=st.sampled_from(["x", "  a   b  ", "q"]),
    body=st.binary(max_size=30),
    token=st.sampled_from(["", "session+token="]),
)
def test_every_request_is_signed_as_botocore_signs_it(
    parts: list[str],
    query: list[tuple[str, str]],
    host: str,
    value: str,
    body: bytes,
    token: str,
) -> None:
    url = f"https://{host}/{'/'.join(parts)}"
    url += "?" + "&".join(name + one for name, one in query) if query else ""
    request = wire.HttpRequest(method="POST", url=url, headers={"X-Own": value}, body=body)

    signed = signer("ses", token).sign(request, now_ms=AT_MS)

    assert signed.headers["authorization"] == by_botocore(request, "ses", token)
    assert signed.headers.get("x-amz-security-token", "") == token


def test_host_goes_out_as_it_was_signed() -> None:
    request = wire.HttpRequest(method="GET", url="https://Example.com:443/")

    assert signer("ses").sign(request, now_ms=AT_MS).headers["host"] == "example.com"


@pytest.mark.parametrize("secret", [SECRET, "session-token"])
def test_signer_does_not_print_its_secrets(secret: str) -> None:
    assert secret not in repr(signer("ses", "session-token"))
