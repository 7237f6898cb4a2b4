"""The shared parts of the tests keep their promises."""

import aiosmtplib
import pytest
from azure.core.exceptions import HttpResponseError
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueServiceClient

from tests.support.azurite import Azurite
from tests.support.smtp import SmtpServer

MAIL = "Subject: Hello\r\nContent-Type: text/plain\r\n\r\nAs promised.\r\n"


async def test_each_test_has_its_own_tables_queues_and_blobs(azurite: Azurite) -> None:
    """One account does not see the data of another, so that no test disturbs a test."""
    first, second = azurite.fresh_account(), azurite.fresh_account()

    async with (
        TableServiceClient.from_connection_string(first) as tables,
        QueueServiceClient.from_connection_string(first) as queues,
        BlobServiceClient.from_connection_string(first) as blobs,
    ):
        await tables.create_table("claims")
        await queues.create_queue("notices")
        await blobs.create_container("evidence")

    async with (
        TableServiceClient.from_connection_string(second) as tables,
        QueueServiceClient.from_connection_string(second) as queues,
        BlobServiceClient.from_connection_string(second) as blobs,
    ):
        assert [table.name async for table in tables.list_tables()] == []
        assert [queue.name async for queue in queues.list_queues()] == []
        assert [container.name async for container in blobs.list_containers()] == []


async def test_a_wrong_key_is_refused(storage_connection: str) -> None:
    """Azurite checks signatures, and a test that passes has signed its requests."""
    forged = storage_connection.replace("AccountKey=", "AccountKey=AAAA")

    async with TableServiceClient.from_connection_string(forged, retry_total=0) as tables:
        with pytest.raises(HttpResponseError):
            await tables.create_table("claims")


async def send(server: SmtpServer, recipient: str = "a@contoso.invalid") -> None:
    """Send one mail in the way of the app."""
    await aiosmtplib.send(
        MAIL, sender="us@cpor.invalid", recipients=[recipient], hostname=server.host, port=server.port, timeout=5
    )


async def test_a_mail_is_kept_unchanged(smtp_server: SmtpServer) -> None:
    """The envelope and the text of a mail can be read afterwards."""
    await send(smtp_server)

    (mail,) = smtp_server.to("a@contoso.invalid")
    assert (mail.sender, mail.message["subject"], mail.text()) == ("us@cpor.invalid", "Hello", "As promised.\r\n")


@pytest.mark.parametrize("reply", ["450 4.2.0 Later", "550 5.1.1 No such user"])
async def test_a_recipient_can_be_refused_for_some_time_or_for_good(smtp_server: SmtpServer, reply: str) -> None:
    """The sender gets the exact reply. Nothing is kept until the recipient is accepted again."""
    smtp_server.refuse("a@contoso.invalid", reply)

    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
        await send(smtp_server)
    smtp_server.accept("a@contoso.invalid")
    await send(smtp_server)

    assert refused.value.recipients[0].code == int(reply[:3])
    assert len(smtp_server.received) == 1


async def test_a_mail_can_be_accepted_without_an_answer(smtp_server: SmtpServer) -> None:
    """This is the worst case: the mail is sent, and the sender cannot know."""
    smtp_server.answer_next(None, "451 4.3.0 Later")

    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await send(smtp_server)
    with pytest.raises(aiosmtplib.SMTPDataError):
        await send(smtp_server)

    assert len(smtp_server.received) == 1


async def test_the_server_can_go_down_and_come_back(smtp_server: SmtpServer) -> None:
    """It has the same address and the same mails."""
    await send(smtp_server)

    smtp_server.stop()
    with pytest.raises(aiosmtplib.SMTPConnectError):
        await send(smtp_server)
    smtp_server.start()
    await send(smtp_server)

    assert len(smtp_server.received) == 2
