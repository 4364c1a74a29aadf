"""Notifications of SNS, signed here by a key and certificate made on the spot."""

import base64
import json
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from gateway.model import wire

TOPIC = "arn:aws:sns:us-west-2:123456789012:ses"
CERTIFICATE_URL = "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-0a1b2c.pem"
SUBSCRIBE_URL = (
    "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription"
    "&TopicArn=arn:aws:sns:us-west-2:123456789012:ses&Token=2336412f37"
)


def certificate(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, now: datetime, *, days: int = 30
) -> bytes:
    """PEM of one that began a day before `now` and lasts so many days after."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=40))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM)


def note(now: datetime, **changes: Any) -> dict[str, Any]:
    """An unsigned notification; None leaves a field out."""
    fields = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Subject": "Amazon SES Email Event Notification",
        "Message": "Hello\nworld",
        "Timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "SignatureVersion": "1",
        "SigningCertURL": CERTIFICATE_URL,
        "UnsubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe",
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def confirmation(now: datetime, **changes: Any) -> dict[str, Any]:
    """An unsigned request to confirm a subscription."""
    own = {
        "Type": "SubscriptionConfirmation",
        "Subject": None,
        "UnsubscribeURL": None,
        "Token": "2336412f37",
        "SubscribeURL": SUBSCRIBE_URL,
    }
    return note(now, **{**own, **changes})


def sign(fields: dict[str, Any], key: rsa.RSAPrivateKey) -> dict[str, Any]:
    """With its signature, the order of fields spelt out as the guide does."""
    if fields["Type"] == "Notification":
        text = f"Message\n{fields['Message']}\nMessageId\n{fields['MessageId']}\n"
        if "Subject" in fields:
            text += f"Subject\n{fields['Subject']}\n"
        text += f"Timestamp\n{fields['Timestamp']}\nTopicArn\n{fields['TopicArn']}\n"
        text += "Type\nNotification\n"
    else:
        text = f"Message\n{fields['Message']}\nMessageId\n{fields['MessageId']}\n"
        text += f"SubscribeURL\n{fields['SubscribeURL']}\nTimestamp\n{fields['Timestamp']}\n"
        text += f"Token\n{fields['Token']}\nTopicArn\n{fields['TopicArn']}\n"
        text += f"Type\n{fields['Type']}\n"
    algorithm = hashes.SHA256() if fields["SignatureVersion"] == "2" else hashes.SHA1()
    signature = key.sign(text.encode(), padding.PKCS1v15(), algorithm)
    return {**fields, "Signature": base64.b64encode(signature).decode()}


def post(fields: dict[str, Any], **headers: str) -> wire.HttpRequest:
    """As SNS posts it."""
    usual = {
        "content-type": "text/plain; charset=UTF-8",
        "x-amz-sns-message-type": str(fields.get("Type")),
        "x-amz-sns-message-id": str(fields.get("MessageId")),
    }
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return wire.HttpRequest(
        method="POST",
        url="https://gw.example.com/v1/receipts/main",
        headers={**usual, **given},
        body=json.dumps(fields).encode(),
    )
