"""Reads all that there is about one message, of one instant."""

import apsw
import orjson

from gateway.model import view
from gateway.model.message import MessageId
from gateway.store.sqlite.engine import call, call_json
from gateway.store.timeline import Records, message_view


def read(connection: apsw.Connection, tenant: str, message: MessageId) -> view.MessageView | None:
    """None when there is no such message, or it is another tenant's."""
    records = None
    with connection:  # one snapshot for all four queries
        head = call(connection, "message_head", message=message, tenant=tenant)
        if head is not None:
            records = Records(
                head=orjson.loads(head),
                attempts=call_json(connection, "message_attempts", message=message),
                receipts=call_json(connection, "message_receipts", message=message),
                events=call_json(connection, "message_events", message=message),
            )
    return None if records is None else message_view(records)
