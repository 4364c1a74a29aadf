"""The relay, by the client of the standard library and by bare bytes."""

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

from gateway.sandbox.knobs import Knobs
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import Fate
from gateway.sandbox.smtp import SmtpSimulator

T = TypeVar("T")

REFERENCE = "01900000-0000-7000-8000-00000000000a-0-1-0"
CONTENT = (
    b"From: a@example.com\r\nSubject: =?utf-8?q?H=C3=A4?=\r\n"
    b"Message-ID: <" + REFERENCE.encode() + b"@example.com>\r\n"
    b"List-Unsubscribe: <mailto:a@example.com>,\r\n\t<https://example.com/u>\r\n\r\nhello\r\n"
)


async def in_client(simulator: SmtpSimulator, call: Callable[[smtplib.SMTP], T]) -> T:
    """Run blocking client code on a connection of its own."""

    def run() -> T:
        with smtplib.SMTP("127.0.0.1", simulator.port, timeout=20) as client:
            client.ehlo("client.example.com")
            return call(client)

    return await asyncio.to_thread(run)


def send_to(*recipients: str) -> Callable[[smtplib.SMTP], dict[str, tuple[int, bytes]]]:
    return lambda client: client.sendmail("a@example.com", recipients, CONTENT)


@asynccontextmanager
async def wire(
    simulator: SmtpSimulator,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection after EHLO."""
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    try:
        writer.write(b"EHLO client.example.com\r\n")
        await replies(reader, 2)
        yield reader, writer
    finally:
        writer.close()


async def replies(reader: asyncio.StreamReader, count: int) -> list[str]:
    """The next replies, of each its last line; fewer when the connection ends."""
    found: list[str] = []
    async with asyncio.timeout(20):
        while len(found) < count and (line := await reader.readline()):
            if line[3:4] != b"-":
                found.append(line.decode().strip())
    return found


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the connection ends without another word."""
    try:
        async with asyncio.timeout(20):
            return await reader.read() == b""
    except ConnectionResetError:
        return True


async def test_message_is_taken_and_its_headers_kept() -> None:
    async with SmtpSimulator() as simulator:
        refused = await in_client(simulator, send_to("b@example.com"))

    assert refused == {}
    [arrival] = simulator.log.arrivals
    assert (arrival.to, arrival.fate) == ("b@example.com", Fate.TAKEN)
    assert arrival.reference == REFERENCE
    assert arrival.answer == "250 2.0.0"
    assert arrival.content["headers"]["subject"] == "=?utf-8?q?H=C3=A4?="
    assert arrival.content["headers"]["list-unsubscribe"] == (
        "<mailto:a@example.com>, <https://example.com/u>"
    )
    assert arrival.content["size"] == len(CONTENT)


async def test_ehlo_offers_what_is_there() -> None:
    bare = SmtpSimulator(pipelining=False, chunking=False, username="u")
    async with SmtpSimulator() as plain, bare as other:
        offered = await in_client(plain, lambda client: set(client.esmtp_features))
        others = await in_client(other, lambda client: set(client.esmtp_features))

    assert offered == {
        "size",
        "8bitmime",
        "smtputf8",
        "pipelining",
        "chunking",
        "dsn",
        "enhancedstatuscodes",
    }
    assert others == (offered - {"pipelining", "chunking"}) | {"auth"}


async def test_chunks_make_a_mail_and_are_read_even_where_they_are_refused() -> None:
    first, last = CONTENT[:40], CONTENT[40:]
    commands = b"".join(
        [
            b"EHLO client.test\r\nBDAT 3 LAST\r\nNOOMAIL FROM:<a@example.com>\r\n",
            b"BDAT 4\r\nQUITMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n",
            b"BDAT %d\r\n%bDATA\r\nBDAT %d LAST\r\n%bQUIT\r\n"
            % (len(first), first, len(last), last),
        ]
    )
    async with SmtpSimulator() as simulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        writer.write(commands)
        said = (await reader.read()).decode().splitlines()
        writer.close()

    codes = [line[:3] for line in said if line[3:4] == " "][2:]
    assert codes == ["503", "250", "554", "250", "250", "250", "503", "250", "221"]
    [arrival] = simulator.log.arrivals
    assert arrival.content["size"] == len(CONTENT)


@pytest.mark.parametrize("command", ["BDAT", "BDAT x LAST", "BDAT 3 FIRST", f"BDAT {2**40} LAST"])
async def test_chunk_of_unknown_length_ends_the_connection(command: str) -> None:
    async with SmtpSimulator() as simulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        writer.write(f"EHLO client.test\r\n{command}\r\n".encode())
        said = (await reader.read()).decode().splitlines()
        writer.close()

    assert said[-1][0] == "5"


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_login_under_tls_with_the_simulators_own_certificate(security: str) -> None:
    async with SmtpSimulator(
        security="tls" if security == "tls" else "starttls", username="li", password="geheim"
    ) as simulator:
        assert simulator.certificate is not None
        context = ssl.create_default_context(cadata=simulator.certificate.pem.decode())

        def run() -> None:
            if security == "tls":
                client: smtplib.SMTP = smtplib.SMTP_SSL(
                    "127.0.0.1", simulator.port, timeout=20, context=context
                )
            else:
                client = smtplib.SMTP("127.0.0.1", simulator.port, timeout=20)
                client.starttls(context=context)
            with client:
                client.login("li", "geheim")
                client.sendmail("a@example.com", ["b@example.com"], CONTENT)

        await asyncio.to_thread(run)

        assert simulator.log.taken == 1


async def test_certificate_is_not_trusted_by_itself() -> None:
    async with SmtpSimulator(security="starttls") as simulator:
        context = ssl.create_default_context()

        with pytest.raises(ssl.SSLCertVerificationError):
            await in_client(simulator, lambda client: client.starttls(context=context))


async def test_mail_in_clear_text_is_refused_where_tls_is_wanted() -> None:
    async with SmtpSimulator(security="starttls") as simulator:
        with pytest.raises(smtplib.SMTPSenderRefused) as refusal:
            await in_client(simulator, send_to("b@example.com"))

    assert refusal.value.smtp_code == 530


async def test_mail_without_login_and_wrong_password_are_refused() -> None:
    async with SmtpSimulator(username="li", password="geheim") as simulator:
        with pytest.raises(smtplib.SMTPSenderRefused) as refusal:
            await in_client(simulator, send_to("b@example.com"))
        with pytest.raises(smtplib.SMTPAuthenticationError) as wrong:
            await in_client(simulator, lambda client: client.login("li", "falsch"))

    assert (refusal.value.smtp_code, refusal.value.smtp_error[:5]) == (530, b"5.7.0")
    assert (wrong.value.smtp_code, wrong.value.smtp_error[:5]) == (535, b"5.7.8")


@pytest.mark.parametrize(
    ("local", "code", "enhanced"),
    [
        ("unknown", 550, b"5.1.1"),
        ("unknown+7", 550, b"5.1.1"),
        ("disabled", 550, b"5.2.1"),
        ("full", 452, b"4.2.2"),
        ("defer", 451, b"4.7.1"),
        ("blocked", 550, b"5.7.1"),
    ],
)
async def test_magic_recipient_is_refused_at_rcpt(local: str, code: int, enhanced: bytes) -> None:
    to = f"{local}@example.com"
    async with SmtpSimulator() as simulator:
        refused = await in_client(simulator, send_to("good@example.com", to))

    assert list(refused) == [to]
    assert refused[to][0] == code
    assert refused[to][1].startswith(enhanced)
    assert [(one.to, one.taken) for one in simulator.log.arrivals] == [
        (to, False),
        ("good@example.com", True),
    ]


@pytest.mark.parametrize(
    ("local", "code", "enhanced"),
    [
        ("bounce", 550, b"5.1.1"),
        ("spam", 554, b"5.7.1"),
        ("big", 552, b"5.3.4"),
        ("later", 451, b"4.3.0"),
    ],
)
async def test_magic_recipient_is_refused_after_the_content(
    local: str, code: int, enhanced: bytes
) -> None:
    async with SmtpSimulator() as simulator:
        with pytest.raises(smtplib.SMTPDataError) as refusal:
            await in_client(simulator, send_to(f"{local}@example.com"))

    assert refusal.value.smtp_code == code
    assert refusal.value.smtp_error[:5] == enhanced
    assert simulator.log.taken == 0


async def test_greylisted_recipient_is_taken_the_second_time() -> None:
    async with SmtpSimulator() as simulator:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
            await in_client(simulator, send_to("greylist@example.com"))
        again = await in_client(simulator, send_to("greylist@example.com"))

    assert refusal.value.recipients["greylist@example.com"][0] == 451
    assert again == {}


async def test_answer_after_the_final_dot_can_be_lost() -> None:
    async with SmtpSimulator() as simulator:
        with pytest.raises(smtplib.SMTPServerDisconnected):
            await in_client(simulator, send_to("lost@example.com"))
        simulator.knobs.lost_answer_rate = 1
        with pytest.raises(smtplib.SMTPServerDisconnected):
            await in_client(simulator, send_to("b@example.com"))

    assert [one.fate for one in simulator.log.arrivals] == [Fate.LOST, Fate.LOST]
    assert all(one.id for one in simulator.log.arrivals)


async def test_hanging_takes_nothing_and_drops_the_connection_when_it_ends() -> None:
    came = asyncio.Event()

    def note(_: Arrival) -> None:
        came.set()

    async with SmtpSimulator(knobs=Knobs(hang=True)) as simulator, asyncio.timeout(20):
        simulator.log.watchers.append(note)
        client = asyncio.create_task(in_client(simulator, send_to("b@example.com")))
        await came.wait()
        simulator.knobs.hang = False
        with pytest.raises(smtplib.SMTPServerDisconnected):
            await client

    assert simulator.log.counts == {Fate.HUNG: 1}


async def test_throttling_is_421_and_the_end_of_the_connection() -> None:
    async with (
        SmtpSimulator(knobs=Knobs(throttle=2), now=lambda: 0.0) as simulator,
        wire(simulator) as (reader, writer),
    ):
        writer.write(b"MAIL FROM:<a@x.org>\r\nRSET\r\n" * 3 + b"NOOP\r\n")
        found = await replies(reader, 9)

    assert [one[:9] for one in found] == [
        "250 2.1.0",
        "250 OK",
        "250 2.1.0",
        "250 OK",
        "421 4.7.0",
    ]
    assert simulator.log.counts == {Fate.THROTTLED: 1}


async def test_connection_carries_as_many_messages_as_it_may() -> None:
    def send_all(client: smtplib.SMTP) -> None:
        for _ in range(3):
            client.sendmail("a@example.com", ["b@example.com"], CONTENT)

    async with SmtpSimulator(messages_per_connection=2) as simulator:
        with pytest.raises(smtplib.SMTPSenderRefused) as refusal:
            await in_client(simulator, send_all)

    assert refusal.value.smtp_code == 421
    assert simulator.log.taken == 2


@pytest.mark.parametrize(
    ("error", "stage", "code"),
    [
        (Fate.TEMPORARY, smtplib.SMTPDataError, 451),
        (Fate.PERMANENT, smtplib.SMTPDataError, 554),
        (Fate.RECIPIENT, smtplib.SMTPRecipientsRefused, 550),
        (Fate.CREDENTIAL, smtplib.SMTPRecipientsRefused, 530),
        (Fate.THROTTLED, smtplib.SMTPRecipientsRefused, 421),
    ],
)
async def test_error_knob_has_its_own_reply(
    error: Fate, stage: type[smtplib.SMTPException], code: int
) -> None:
    async with SmtpSimulator(knobs=Knobs(error_rate=1, error=error)) as simulator:
        with pytest.raises(stage) as refusal:
            await in_client(simulator, send_to("b@example.com"))

    assert str(code) in str(refusal.value)
    assert simulator.log.counts == {error: 1}


async def test_pipelined_messages_are_answered_in_order() -> None:
    async with SmtpSimulator() as simulator, wire(simulator) as (reader, writer):
        envelope = b"MAIL FROM:<a@x.org> SIZE=9\r\nRCPT TO:<b@x.org>\r\nDATA\r\n"
        writer.write(envelope)
        first = await replies(reader, 3)
        writer.write(b"A: b\r\n\r\nc\r\n.\r\n" + envelope)
        second = await replies(reader, 4)
        writer.write(b".\r\nQUIT\r\n")
        third = await replies(reader, 2)

        assert [one[:3] for one in first] == ["250", "250", "354"]
        assert [one[:3] for one in second] == ["250", "250", "250", "354"]
        assert [one[:3] for one in third] == ["250", "221"]
        assert [one.content["size"] for one in simulator.log.arrivals] == [11, 0]


async def test_dsn_parameters_are_taken_and_the_envelope_id_names_the_message() -> None:
    async with SmtpSimulator() as simulator, wire(simulator) as (reader, writer):
        writer.write(f"MAIL FROM:<> RET=HDRS ENVID={REFERENCE}\r\n".encode())
        writer.write(b"RCPT TO:<b@x.org> NOTIFY=FAILURE,DELAY ORCPT=rfc822;b@x.org\r\nDATA\r\n")
        found = await replies(reader, 3)
        writer.write(b"\r\nhello\r\n.\r\n")
        found += await replies(reader, 1)

        assert [one[:3] for one in found] == ["250", "250", "354", "250"]
        assert simulator.log.arrivals[0].reference == REFERENCE


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        (b"RCPT TO:<b@x.org>\r\n", "503 5.5.1"),
        (b"DATA\r\n", "503 5.5.1"),
        (b"MAIL FROM:<a@x.org>\r\nMAIL FROM:<a@x.org>\r\n", "503 5.5.1"),
        (b"MAIL FROM:<a@x.org>\r\nDATA\r\n", "554 5.5.1"),
        (b"MAIL FROM:<a@x.org>\r\nRCPT TO:<unknown@x.org>\r\nDATA\r\n", "554 5.5.1"),
        (b"MAIL FROM:a@x.org\r\n", "553 5.1.3"),
        (b"MAIL TO:<a@x.org>\r\n", "501 5.5.4"),
        (b"MAIL FROM:<a@x.org> SPEED=1\r\n", "555 5.5.4"),
        (b"MAIL FROM:<a@x.org> SIZE=99999999\r\n", "552 5.3.4"),
        (b"MAIL FROM:<a@x.org> SIZE=many\r\n", "501 5.5.4"),
        (b"MAIL FROM:<a@x.org>\r\nRCPT TO:<>\r\n", "553 5.1.3"),
        (
            b"MAIL FROM:<a@x.org>\r\n" + b"RCPT TO:<b@x.org>\r\n" * 101,
            "452 4.5.3",
        ),
    ],
)
async def test_command_out_of_order_or_shape_is_refused(commands: bytes, expected: str) -> None:
    async with SmtpSimulator() as simulator, wire(simulator) as (reader, writer):
        writer.write(commands)

        found = await replies(reader, commands.count(b"\r\n"))

        assert found[-1].startswith(expected)


@pytest.mark.parametrize(
    ("stuffed", "size"),
    [
        (b".\r\n", 0),
        (b"\r\n.\r\n", 2),
        (b"A\r\n.\r\n", 3),
        (b"AB\r\n.\r\n", 4),
        (b"..\r\n.\r\n", 3),
        (b"..A\r\n..\r\n...\r\n.\r\n", 4 + 3 + 4),
        (b"A: b\r\n\r\n" + b"x" * 20_000 + b"\r\n.\r\n", 8 + 20_002),
    ],
)
async def test_content_ends_at_its_dot_and_loses_its_stuffing(stuffed: bytes, size: int) -> None:
    async with SmtpSimulator() as simulator, wire(simulator) as (reader, writer):
        writer.write(b"MAIL FROM:<a@x.org>\r\nRCPT TO:<b@x.org>\r\nDATA\r\n")
        await replies(reader, 3)
        writer.write(stuffed + b"NOOP\r\n")
        found = await replies(reader, 2)

        assert [one[:3] for one in found] == ["250", "250"]
        assert simulator.log.arrivals[0].content["size"] == size


async def test_too_much_content_is_refused_without_being_kept() -> None:
    async with SmtpSimulator() as simulator, wire(simulator) as (reader, writer):
        writer.write(b"MAIL FROM:<a@x.org>\r\nRCPT TO:<b@x.org>\r\nDATA\r\n")
        await replies(reader, 3)
        writer.write(b"A: " + b"x" * (12 * 1024 * 1024) + b"\r\n.\r\n")
        found = await replies(reader, 1)

        assert found[0].startswith("552 5.3.4")
        assert simulator.log.total == 0


async def test_refusing_drops_open_sessions() -> None:
    async with SmtpSimulator() as simulator, wire(simulator) as (reader, _):
        simulator.knobs.refuse = True

        assert await ended(reader)


async def test_addresses_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="")
    async with SmtpSimulator(username="li", password="geheim") as simulator:

        def run(client: smtplib.SMTP) -> None:
            client.login("li", "geheim")
            client.sendmail("a@example.com", ["who@example.com"], CONTENT)

        await in_client(simulator, run)

    assert "who@example.com" not in caplog.text
    assert "geheim" not in caplog.text
