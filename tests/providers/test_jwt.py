"""Tokens against a published vector and PyJWT."""

import base64
import json
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.providers import jwt

SECRET = b"ZYtdTtGV3BCFN7tWmOWr1md66XsquMggr4W2cTtXtcPgfnI0Xw"
#: Of Vonage's documentation of signed webhooks.
VECTOR = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE1ODc0OTQ5NjIsImp0aSI6ImM1YmE4ZjI0LTFhMTQtNGMx"
    "MC1iZmRmLTNmYmU4Y2U1MTFiNSIsImlzcyI6IlZvbmFnZSIsInBheWxvYWRfaGFzaCI6ImQ2YzBlNzRiNTg1N2RmMjBlM"
    "2I3ZTUxYjMwYzBjMmE0MGVjNzNhNzc4NzliNmYwNzRkZGM3YTIzMTdkZDAzMWIiLCJhcGlfa2V5IjoiYTFiMmMzZCIsIm"
    "FwcGxpY2F0aW9uX2lkIjoiYWFhYWFhYWEtYmJiYi1jY2NjLWRkZGQtMDEyMzQ1Njc4OWFiIn0.JQRKi1d0SQitmjPINfTW"
    "Mpt3XZkGsLbD7EjCdXoNSbk"
)
CLAIMS = st.dictionaries(
    st.text(max_size=8), st.text(max_size=8) | st.integers(-9, 2**40) | st.none(), max_size=5
)


def test_published_token_is_read() -> None:
    claims = jwt.read_hs256(VECTOR, SECRET)

    assert claims is not None
    assert claims == {
        "iat": 1587494962,
        "jti": "c5ba8f24-1a14-4c10-bfdf-3fbe8ce511b5",
        "iss": "Vonage",
        "payload_hash": "d6c0e74b5857df20e3b7e51b30c0c2a40ec73a77879b6f074ddc7a2317dd031b",
        "api_key": "a1b2c3d",
        "application_id": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
    }


@given(claims=CLAIMS, secret=st.binary(min_size=32, max_size=64))
def test_reads_what_the_peer_signed_and_nothing_signed_by_another(
    claims: dict[str, Any], secret: bytes
) -> None:
    token = encoded(claims, secret)

    assert jwt.read_hs256(token, secret) == claims
    assert jwt.read_hs256(token, secret + b"!") is None


def encoded(claims: dict[str, Any], secret: bytes, **options: Any) -> str:
    """As PyJWT signs it, whose own check of registered claims is left out."""
    payload = json.dumps(claims).encode()
    return pyjwt.PyJWS().encode(payload, secret, **{"algorithm": "HS256", **options})


@settings(deadline=None)
@given(claims=CLAIMS)
def test_peer_reads_what_was_signed(claims: dict[str, Any], rsa_key: rsa.RSAPrivateKey) -> None:
    token = jwt.sign_rs256(rsa_key, header={"alg": "RS256", "typ": "JWT"}, claims=claims)

    read = pyjwt.PyJWS().decode(token, rsa_key.public_key(), algorithms=["RS256"])

    assert json.loads(read) == claims


@pytest.mark.parametrize("algorithm", ["HS512", "HS384"])
def test_another_algorithm_is_refused(algorithm: str) -> None:
    token = encoded({"a": 1}, b"s" * 64, algorithm=algorithm)

    assert jwt.read_hs256(token, b"s" * 64) is None


def test_header_that_names_another_algorithm_is_refused_though_the_signature_fits() -> None:
    claims = encoded({"a": 1}, SECRET).split(".")[1]
    for header in (b'{"alg":"none"}', b'{"alg":"hs256"}', b"{}", b"[]", b"x"):
        signed = base64.urlsafe_b64encode(header).rstrip(b"=").decode() + "." + claims
        signature = encoded_signature(signed)

        assert jwt.read_hs256(f"{signed}.{signature}", SECRET) is None


def encoded_signature(signed: str) -> str:
    key = pyjwt.algorithms.HMACAlgorithm(pyjwt.algorithms.HMACAlgorithm.SHA256)
    return base64.urlsafe_b64encode(key.sign(signed.encode(), SECRET)).rstrip(b"=").decode()


@given(st.text(max_size=60) | st.just("..") | st.just(VECTOR[:-1]) | st.just(VECTOR * 50))
def test_garbage_is_no_token(token: str) -> None:
    assert jwt.read_hs256(token, SECRET) is None


def test_an_empty_secret_signs_nothing() -> None:
    assert jwt.read_hs256(encoded({}, b"x" * 32), b"") is None


@pytest.mark.parametrize(
    "pem", ["", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
)
def test_other_texts_are_no_key(pem: str) -> None:
    with pytest.raises(ValueError, match="RSA"):
        jwt.rsa_key(pem)
