"""SMS by a message centre of an operator or aggregator, over SMPP 3.4.

SMPP Protocol Specification v3.4, https://smpp.org/SMPP_v3_4_Issue1_2.pdf: submit_sm §4.4,
deliver_sm §4.6, times §7.1.1. What answers and receipts mean is in `smpp_replies`, how texts are
carried in `smpp_text`.

A receipt names a message by the centre's id alone, and each part of a long message has its own.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Literal
from zoneinfo import ZoneInfo

from gateway.clock import Clock
from gateway.content import addresses
from gateway.model import errors, smpp, wire
from gateway.providers import base, smpp_numbers, smpp_replies, smpp_text, sms_limits
from gateway.transport.smpp_options import SmppOptions
from gateway.transport.smpp_pdu import Bind

#: Seconds: centres keep no message longer, and days are a field of two digits.
_LONGEST = 30 * 86_400
#: By the bits of esm_class in deliver_sm (§5.2.12): a receipt, a notice on the way.
_RECEIPTS = frozenset({0x04, 0x20})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "smpp"`. Durations in seconds."""

    #: name or address of the message centre
    host: str
    #: default 2775
    port: int = 2775
    #: of receivers, with bind "pair"; default: as `port`
    receiver_port: int = 0
    #: TLS from the first octet, or none: the password then travels in clear, so use a tunnel
    security: Literal["none", "tls"] = "none"
    #: file of authorities that sign the centre's certificate; default: the system's
    ca_file: str = ""
    #: at most 15 characters
    system_id: str
    #: at most 8 characters
    password: str = field(default="", repr=False)
    #: at most 12 characters; default: empty
    system_type: str = ""
    #: numbers that receivers take messages for, at most 40 characters; default: empty
    address_range: str = ""
    #: type of number and numbering plan of `address_range`; default 0
    address_ton: int = 0
    #: see `address_ton`
    address_npi: int = 0
    #: one connection for both ways, or a pair of transmitter and receiver; default transceiver
    bind: Literal["transceiver", "pair"] = "transceiver"
    #: how many of them, for each process; default 1
    binds: int = 1
    #: submits that may be unanswered on one bind, as the operator allows; the account's
    #: `concurrency` should be about `window` times `binds`; default 10
    window: int = 10
    #: sender: a name of at most 11 characters, a number or a short code; default: the centre's
    from_: str = ""
    #: its type of number; default 5 for names, 1 for numbers, 0 for short codes
    from_ton: int | None = None
    #: its numbering plan; default 0 for names, 1 for others
    from_npi: int | None = None
    #: at most 5 characters; default: empty
    service_type: str = ""
    #: how the centre is told when a message expires; default relative
    validity: Literal["relative", "absolute", "none"] = "relative"
    #: ask for delivery receipts; default true
    receipts: bool = True
    #: what the centre takes data_coding 0 for; default gsm7, one septet an octet
    alphabet: smpp_text.Alphabet = "gsm7"
    #: parts with a header (8 or 16 bit reference), with sar parameters, or one message_payload
    long_messages: smpp_text.Way = "udh"
    #: ids of receipts: equal to those of answers, or in decimal where these are in hexadecimal, or
    #: the other way round; default equal
    message_ids: smpp_replies.Ids = "equal"
    #: where recipients' numbers that say no country are, such as CN (ISO 3166); default: they are
    #: kept as they come, and a reply from one is nobody's whom we know
    country: str = ""
    #: zone of the dates in receipts, such as Europe/London; default: dates are not read
    zone: str = ""
    #: by command_status in hexadecimal, what the operator means by it; default: the standard's
    statuses: Mapping[str, smpp_replies.Meaning] = field(default_factory=dict)
    #: by `err` of a receipt of failure, what the operator means by it; default: nothing
    errors: Mapping[str, Literal["failed", "expired", "opted_out"]] = field(default_factory=dict)
    #: for connecting, and for the answer to the bind; default 30
    bind_timeout: float = 30.0
    #: silence after which the link is enquired, 0 for never; default 30
    enquire_link: float = 30.0
    #: silence after which the connection is given up; default 300
    inactivity_timeout: float = 300.0
    #: for an answer, after which nobody knows whether the message was taken; default 60
    response_timeout: float = 60.0
    #: longest wait between two tries to bind; default 30
    reconnect: float = 30.0

    def __post_init__(self) -> None:
        if faults := [*_long_texts(self), *_bad_numbers(self), *_unreadable(self)]:
            raise errors.SettingsError(faults)


def _long_texts(settings: Settings) -> Sequence[str]:
    """Fields of the protocol that cannot hold what was given."""
    limits = {"system_id": 15, "password": 8, "system_type": 12, "address_range": 40}
    limits |= {"service_type": 5}
    faults = [f"{key}: is empty" for key in ("host", "system_id") if not getattr(settings, key)]
    for key, most in limits.items():
        value = getattr(settings, key)
        if len(value) > most or not value.isascii() or "\0" in value:
            faults.append(f"{key}: not ASCII of at most {most} characters")
    if settings.from_ and not smpp_numbers.SENDER.fullmatch(settings.from_):
        faults.append("from: not a number or a name of at most 11 characters")
    return faults


def _bad_numbers(settings: Settings) -> Sequence[str]:
    bounds = {"port": (1, 65535), "receiver_port": (0, 65535), "binds": (1, 64)}
    bounds |= {"window": (1, 10_000), "address_ton": (0, 255), "address_npi": (0, 255)}
    bounds |= {"from_ton": (0, 255), "from_npi": (0, 255)}
    times = {"bind_timeout": 1, "response_timeout": 1, "inactivity_timeout": 1, "reconnect": 1}
    bounds |= {key: (least, 3600) for key, least in (times | {"enquire_link": 0}).items()}
    return [
        f"{key}: not between {least} and {most}"
        for key, (least, most) in bounds.items()
        if (value := getattr(settings, key)) is not None and not least <= value <= most
    ]


def _unreadable(settings: Settings) -> Sequence[str]:
    faults = [
        f"statuses.{key}: not a command_status in hexadecimal"
        for key in settings.statuses
        if not re.fullmatch(r"(?:0x)?[0-9a-fA-F]{1,8}", key) or int(key, 16) == smpp.OK
    ]
    try:
        _zone(settings.zone)
    except (KeyError, ValueError, OSError):
        faults.append("zone: no such time zone")
    if settings.country and not addresses.is_country(settings.country):
        faults.append("country: not an ISO 3166 code of two capital letters, such as CN")
    return faults


def _zone(name: str) -> ZoneInfo | None:
    return ZoneInfo(name) if name else None


_DIGITS = re.compile(r"\+?([0-9]{3,20})")


class Provider(base.SmppProvider):
    """One account at a message centre."""

    name: ClassVar[str] = "smpp"
    batch_limit: ClassVar[int] = 1
    limits: ClassVar[str] = "255 segments"

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self.channel = wire.Channel.SMS
        self.reports = frozenset({wire.ReceiptEvent.DELIVERED} if settings.receipts else ())
        self._settings = settings
        self._clock = clock
        self._source = smpp_numbers.source(
            settings.from_, ton=settings.from_ton, npi=settings.from_npi
        )
        self._zone = _zone(settings.zone)
        self._statuses = {int(key, 16): meaning for key, meaning in settings.statuses.items()}
        self._errors = {key.upper(): wire.ReceiptEvent(e) for key, e in settings.errors.items()}

    @property
    def options(self) -> SmppOptions:
        settings = self._settings
        return SmppOptions(
            name=self.account,
            host=settings.host,
            port=settings.port,
            receiver_port=settings.receiver_port,
            bind=Bind(
                system_id=settings.system_id,
                password=settings.password,
                system_type=settings.system_type,
                address_ton=settings.address_ton,
                address_npi=settings.address_npi,
                address_range=settings.address_range,
            ),
            mode=settings.bind,
            binds=settings.binds,
            window=settings.window,
            tls=settings.security == "tls",
            ca_file=settings.ca_file,
            bind_timeout=settings.bind_timeout,
            enquire_link=settings.enquire_link,
            inactivity_timeout=settings.inactivity_timeout,
            response_timeout=settings.response_timeout,
            reconnect=settings.reconnect,
        )

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        return sms_limits.objection(content)

    def build_submits(self, message: wire.Message) -> Sequence[smpp.Submit]:
        """The message, in as many parts as it takes, in their order. Raises ValueError."""
        number = _DIGITS.fullmatch(message.to.phone)
        if number is None:
            raise ValueError("not a phone number")
        ton, npi, source = self._source
        whole = smpp.Submit(
            source=source,
            source_ton=ton,
            source_npi=npi,
            destination=number[1],
            service_type=self._settings.service_type,
            validity_period=self._validity(message.expires_at),
            registered_delivery=int(self._settings.receipts),
        )
        settings = self._settings
        return smpp_text.parts(
            whole,
            message.content.text,
            message.reference,
            alphabet=settings.alphabet,
            way=settings.long_messages,
        )

    def _validity(self, expires_at: datetime) -> str:
        """§7.1.1.1 and .2"""
        now = self._clock.now_ms() // 1000
        left = min(max(int(expires_at.timestamp()) - now, 1), _LONGEST)
        match self._settings.validity:
            case "none":
                return ""
            case "absolute":
                return f"{datetime.fromtimestamp(now + left, UTC):%y%m%d%H%M%S}000+"
            case "relative":
                minutes, seconds = divmod(left, 60)
                hours, minutes = divmod(minutes, 60)
                days, hours = divmod(hours, 24)
                return f"0000{days:02}{hours:02}{minutes:02}{seconds:02}000R"

    def read_answer(self, answer: smpp.Answer) -> wire.AttemptResult:
        result = smpp_replies.result(answer, self._statuses)
        if isinstance(result, wire.Accepted):
            return wire.Accepted(provider_id=smpp_replies.bare(result.provider_id))
        return result

    def read_delivery(
        self, delivery: smpp.Delivery
    ) -> wire.DeliveryReceipt | wire.InboundMessage | None:
        kind = delivery.esm_class & smpp.KIND
        says_so = smpp.RECEIPTED_MESSAGE_ID in delivery.parameters
        if kind in _RECEIPTS or (kind == 0 and says_so):
            return self._receipt(smpp_replies.read_report(delivery))
        if kind:
            return None
        return wire.InboundMessage(
            sender=smpp_numbers.sender_of(delivery, self._settings.country),
            to=delivery.destination,
            text=smpp_text.read(delivery, self._settings.alphabet),
        )

    def _receipt(self, report: smpp_replies.Report) -> wire.DeliveryReceipt:
        event = smpp_replies.WORDS.get(report.state, wire.ReceiptEvent.UNKNOWN)
        if event in wire.FAILURES or event is wire.ReceiptEvent.UNKNOWN:
            event = self._errors.get(report.error.upper(), event)
        told = report.error if report.error.strip("0") else ""
        return wire.DeliveryReceipt(
            event=event,
            provider_id=smpp_replies.name(report, self._settings.message_ids),
            code=" ".join(filter(None, (report.state, told)))[:64],
            at=self._date(report.done),
            of_segment=True,
        )

    def _date(self, done: str) -> datetime | None:
        if self._zone is None or not done:
            return None
        try:
            local = datetime.strptime(done.ljust(12, "0"), "%y%m%d%H%M%S")
        except ValueError:
            return None
        return local.replace(tzinfo=self._zone).astimezone(UTC)
