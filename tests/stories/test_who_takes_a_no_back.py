"""
A no is undone by its own voice or a higher one.

The voices are contact, registered notice address and administrator.
"""

import re
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from cpor_core.rules.grace import GRACE
from tests.support.service import CUSTOMER, OTHER_PARTNER, Service
from tests.triggers.refusals import refused

ANNE, IT, LAW = "anne.durand@contoso.fr", "it@contoso.fr", "law@contoso.fr"
DAYS = timedelta(days=2)


async def as_admin(service: Service, claim: Any, act: str) -> httpx.Response:
    """Decline, or undo the no, with a token of the customer's administrator."""
    path = f"/customers/{CUSTOMER}/requests/{claim['id']}/{act}"
    return await service.request("POST", path, role="Customer.Admin", tenant=CUSTOMER)


async def notified(service: Service) -> Any:
    """Return a claim whose contact and two registered addresses were notified."""
    await service.register(noticeAddresses=[IT, LAW])
    return await service.notified()


async def status(service: Service, claim: Any) -> str:
    """Return the claim's state as its partner sees it."""
    return str((await service.request("GET", f"/claims/{claim['id']}")).json()["status"])


async def offered(service: Service, address: str) -> list[str]:
    """Return the acts on the page of a recipient."""
    return [one["act"] for one in (await service.page(service.link(address)))["acts"]]


async def in_words(service: Service, address: str, language: str) -> str:
    """Return the page of a recipient as text."""
    html = (await service.request("GET", f"{service.link(address)}&lang={language}", role=None)).text
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


async def test_the_contact_cannot_undo_the_administrators_no(service: Service) -> None:
    """
    A mailbox that the partner chose must not turn the organisation's no into consent.

    The contact declined first and has the form of the undo open when the administrator takes over the no.
    """
    claim = await notified(service)
    contacts = service.link(ANNE)
    await service.press(contacts, "decline")
    nonce = next(one["nonce"] for one in (await service.page(contacts))["acts"] if one["act"] == "undo")

    confirmed = await as_admin(service, claim, "decline")
    pressed = await service.press(contacts, "undo", nonce)
    service.clock.advance(timedelta(days=30))
    await service.sweep()

    assert (confirmed.status_code, confirmed.json()["declined"]["by"]) == (200, "administrator")
    assert pressed.status_code == 409
    assert "The decision stands" in pressed.text
    assert await status(service, claim) == "declined"


@pytest.mark.parametrize(
    ("address", "by", "others"),
    [
        (ANNE, "contact", {ANNE: ["undo"], IT: ["undo", "decline"], LAW: ["undo", "decline"]}),
        (IT, "noticeAddress", {ANNE: [], IT: ["undo"], LAW: []}),
        (None, "administrator", {ANNE: [], IT: [], LAW: []}),
    ],
)
async def test_the_page_offers_undo_to_each_voice_that_can_undo(
    service: Service, address: str | None, by: str, others: dict[str, list[str]]
) -> None:
    """Others read that the no stays, its instant, and the kind of its voice, never a name."""
    claim = await notified(service)
    if address is None:
        await as_admin(service, claim, "decline")
    else:
        await service.press(service.link(address), "decline")
    service.clock.advance(DAYS)

    assert {one: await offered(service, one) for one in others} == others
    for reader, acts in others.items():
        shown = (await service.page(service.link(reader)))["declined"]
        words = await in_words(service, reader, "en")
        assert shown == {"at": "2026-11-02T09:00:00Z", "by": by}
        assert "Declined by: " in words
        assert ("Declined by: you " in words) is (reader == address)
        assert ("The decision stands" in words) is ("undo" not in acts)
    listed = await service.request("GET", f"/customers/{CUSTOMER}/requests", role="Customer.Admin", tenant=CUSTOMER)
    assert listed.json()["value"][0]["declined"] == {"at": "2026-11-02T09:00:00Z", "by": by}
    assert (await as_admin(service, claim, "undo")).json()["declined"] is None


@pytest.mark.parametrize(
    ("language", "stands", "who"),
    [
        ("en", "Only your organisation’s administrator can undo it.", "Declined by: your organisation’s administrator"),
        ("fr", "Seul l’administrateur de votre organisation peut l’annuler.", "Refusée par : l’administrateur de"),
        ("cs", "Vzít je zpět může jen správce vaší organizace.", "Kdo žádost odmítl: správce vaší organizace"),
    ],
)
async def test_the_page_says_in_every_language_that_the_no_stays(
    service: Service, language: str, stands: str, who: str
) -> None:
    """It also says who can undo the no, and until when."""
    await as_admin(service, await notified(service), "decline")

    words = (await in_words(service, ANNE, language)).replace("\N{NO-BREAK SPACE}", " ")

    assert stands in words
    assert who in words
    assert "2026" in words.partition(stands)[2]


async def test_an_address_that_is_no_longer_registered_counts_as_a_contact(service: Service) -> None:
    """It was registered when the mail was sent. Its registration at the time of the act counts."""
    await notified(service)
    await service.press(service.link(ANNE), "decline")
    customer = (await service.programme("GET", f"/customers/{CUSTOMER}")).json()
    await service.programme("PUT", f"/customers/{CUSTOMER}", json={**customer, "noticeAddresses": [LAW]})

    assert await offered(service, IT) == []
    assert await offered(service, LAW) == ["undo", "decline"]


async def test_a_registered_address_takes_over_the_contacts_no(service: Service) -> None:
    """The contact's open page is refused. The same address can undo the no."""
    claim = await notified(service)
    await service.press(service.link(ANNE), "decline")
    nonce = next(one["nonce"] for one in (await service.page(service.link(ANNE)))["acts"] if one["act"] == "undo")

    await service.press(service.link(IT), "decline")

    assert (await service.press(service.link(ANNE), "undo", nonce)).status_code == 409
    refusal = await as_admin(service, claim, "decline")
    assert refusal.json()["declined"]["by"] == "administrator"
    refused(await as_admin(service, claim, "decline"), 409, "InvalidState")


async def test_mails_offer_the_undo_to_each_voice_that_can_undo(service: Service) -> None:
    """Each confirmation says who declined. After the administrator's no everybody gets a new one."""
    claim = await notified(service)
    service.mailbox.sent.clear()
    links = dict.fromkeys((ANNE, IT))
    await as_admin(service, claim, "decline")
    await service.deliver()
    administrators = {mail.to_address: mail.text for mail in service.mailbox.sent}
    await as_admin(service, claim, "undo")
    service.mailbox.sent.clear()
    await service.press(f"/customer/requests/{claim['id']}?t={token(administrators[ANNE])}", "decline")
    await service.deliver()
    contacts = {mail.to_address: mail.text for mail in service.mailbox.sent}
    service.mailbox.sent.clear()
    await as_admin(service, claim, "decline")
    await service.deliver()
    again = {mail.to_address: mail.text for mail in service.mailbox.sent}

    def offers_undo(mails: dict[str, str]) -> dict[str, bool]:
        return {address: "annuler la décision" in mails[address] for address in links}

    assert offers_undo(administrators) == {ANNE: False, IT: False}
    assert offers_undo(contacts) == {ANNE: True, IT: True}
    assert offers_undo(again) == {ANNE: False, IT: False}
    assert "Refusée par : l’administrateur de votre organisation" in administrators[ANNE].replace("\xa0", " ")
    assert "Refusée par : vous" in contacts[ANNE].replace("\xa0", " ")
    assert "Refusée par : le contact désigné par le partenaire" in contacts[IT].replace("\xa0", " ")


def token(text: str) -> str:
    """Return the secret of the link in a mail."""
    found = re.search(r"\?t=(\S+)", text)
    assert found is not None
    return found[1]


async def test_a_second_tab_says_that_the_request_is_already_declined(service: Service) -> None:
    """The no is in force, and the page says since when and by whom. It does not say that nothing was done."""
    await notified(service)
    link = service.link(ANNE)
    nonce = next(one["nonce"] for one in (await service.page(link))["acts"] if one["act"] == "decline")
    await service.press(link, "decline")
    service.clock.advance(timedelta(minutes=30))

    again = await service.press(link, "decline", nonce, lang="en")
    other = await service.press(link, "decline", nonce)

    assert again.status_code == other.status_code == 409
    assert "La demande est déjà refusée" in other.text
    assert "2 novembre 2026" in other.text
    assert "rien n’a été fait" not in other.text
    assert service.link(ANNE) in other.text.replace("&amp;", "&")


async def test_an_expired_page_has_no_link_to_itself(service: Service) -> None:
    """It says what the recipient can do."""
    claim = await notified(service)
    await as_admin(service, claim, "decline")
    service.clock.advance(timedelta(days=120))

    expired = await service.request("GET", service.link(ANNE), role=None, headers={"Accept-Language": "en"})

    assert expired.status_code == 410
    assert "<a " not in expired.text
    assert "administrator can still see" in expired.text


async def test_a_british_customer_reads_british_dates(service: Service) -> None:
    """The registered country decides about mails and the page."""
    await service.register(country="GB", timeZone="Europe/London", language="en")
    await service.notified()

    assert "Monday, 9 November 2026" in service.mailbox.sent[-1].text
    assert "Monday, 9 November 2026" in await in_words(service, ANNE, "en")


async def test_undo_after_another_claim_became_official(service: Service) -> None:
    """The customer moves to another time zone, and the second window ends before the first. The no stays."""
    first = await service.under_review()
    await service.review("POST", f"/reviews/{first['id']}/approve")
    await service.deliver()
    first = await service.reread(first)
    assert (await as_admin(service, first, "decline")).status_code == 200
    await service.register(timeZone="Pacific/Auckland", country="NZ")
    second = await service.under_review(tenant=OTHER_PARTNER)
    assert (await service.review("POST", f"/reviews/{second['id']}/approve")).status_code == 200
    await service.deliver()
    second = await service.reread(second, OTHER_PARTNER)
    assert second["window"]["endsAt"] < first["window"]["endsAt"]
    service.clock.set(datetime.fromisoformat(second["window"]["endsAt"]))
    assert (await service.reread(second, OTHER_PARTNER))["status"] == "official"

    undone = await as_admin(service, first, "undo")

    assert undone.status_code == 409, undone.text


async def test_undo_after_the_subscription_ended(service: Service) -> None:
    """Items are checked before a promise. An undo makes no promise and therefore checks them again."""
    claim = await service.notified()
    await as_admin(service, claim, "decline")
    await service.register(subscriptions=[])
    service.clock.advance(timedelta(hours=1))
    await service.sweep()
    await as_admin(service, claim, "undo")
    service.clock.set(datetime.fromisoformat(claim["window"]["endsAt"]) + GRACE)
    await service.sweep()
    assert await status(service, claim) != "official"
