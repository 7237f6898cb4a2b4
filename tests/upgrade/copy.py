"""
A kept copy of a release: its tables as `tools.backup` writes them, and what somebody outside had in hand.

`known.json` has the answers that callers were given, the links, forms and cursors that they hold, the messages that lay
in the queues and the blobs; all of it signed with a known secret at a known instant.
"""

import base64
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from cpor_app import bootstrap
from cpor_app.queue_names import MAIL_EVENTS, QUEUES
from devhost.stack.issuer import PROGRAMME_TENANT
from tests.support.service import OTHER_PARTNER, PARTNER, PUBLIC_URL, Service
from tests.upgrade.deployment import NOBODY_TOLD_OF, NOTICED_WINDOW_RUNS, tenant
from tools.backup import back_up

HERE = Path(__file__).parent
TABLES = "tables"
SECRET = "the secret of the kept copies that everybody may know"
PAGE = 5


@dataclass(frozen=True)
class Asked:
    """A question from outside, and how it was answered."""

    path: str
    role: str | None
    tenant: str
    status: int
    answer: Any


@dataclass(frozen=True)
class Known:
    """What was known outside of the tables at the instant `now`."""

    now: str
    secret: str
    asked: Sequence[Asked]
    links: Sequence[str]
    messages: Sequence[tuple[str, str]]
    blobs: Mapping[str, str]

    @classmethod
    def of(cls, folder: Path) -> "Known":
        """Return what is kept in a copy's folder."""
        read = json.loads((folder / "known.json").read_text("utf-8"))
        return cls(**{**read, "asked": [Asked(**one) for one in read["asked"]]})


def releases() -> Sequence[Path]:
    """Return the folders of all kept copies."""
    return sorted(HERE.glob("release-*"))


async def keep(service: Service, folder: Path) -> None:
    """Write a copy of a service in which everything has happened. The tables come first: reading leaves receipts."""
    await back_up(service.services.rows, folder / TABLES, service.clock)
    known = Known(
        now=(await service.clock.now()).isoformat(),
        secret=SECRET,
        asked=[one async for one in asked(service)],
        links=list(service.mailbox.links()),
        messages=await _messages(service),
        blobs=await _blobs(service),
    )
    (folder / "known.json").write_text(json.dumps(asdict(known), indent=1, ensure_ascii=False) + "\n", "utf-8")


async def asked(service: Service) -> AsyncIterator[Asked]:
    """Ask everything that can be asked, each list page by page, and yield the answers; figures last."""
    for questions in (_of_partners, _of_webhooks_and_batches, _of_customers, _of_programme, _of_links, _of_figures):
        async for one in questions(service):
            yield one


async def _of_partners(service: Service) -> AsyncIterator[Asked]:
    for organisation in (PARTNER, OTHER_PARTNER):
        async for one in _pages(service, f"/claims?maxpagesize={PAGE}", "Incentives.Admin", organisation):
            yield one
            for claim in one.answer["value"]:
                for path in ("", "/history", "/comments"):
                    yield await ask(service, f"/claims/{claim['id']}{path}", "Incentives.Admin", organisation)
        for path in (f"/associations?maxpagesize={PAGE}", "/changes?maxpagesize=50"):
            async for one in _pages(service, path, "Incentives.Admin", organisation):
                yield one


async def _of_webhooks_and_batches(service: Service) -> AsyncIterator[Asked]:
    for path in ("/webhooks", f"/webhooks/main/deliveries?maxpagesize={PAGE * 10}", *await _batches(service)):
        async for one in _pages(service, path, "Incentives.Admin", PARTNER):
            yield one


async def _of_customers(service: Service) -> AsyncIterator[Asked]:
    for number in range(1, 17):
        for path in ("requests", "associations", "access-receipts"):
            yield await ask(service, f"/customers/{tenant(number)}/{path}", "Customer.Admin", tenant(number))
        yield await ask(service, f"/customers/{tenant(number)}", "Program.Operator", PROGRAMME_TENANT)


async def _of_programme(service: Service) -> AsyncIterator[Asked]:
    reviewer, operator = ("Program.Reviewer", PROGRAMME_TENANT), ("Program.Operator", PROGRAMME_TENANT)
    for path in (f"/reviews?maxpagesize={PAGE}", f"/reviews?sample=true&maxpagesize={PAGE}"):
        async for one in _pages(service, path, *reviewer):
            yield one
            for review in one.answer["value"]:
                yield await ask(service, f"/reviews/{review['id']}", *reviewer)
    for path in ("/partners/4782913", "/operations/failed-messages", "/operations/dry-runs"):
        yield await ask(service, path, *operator)


async def _of_links(service: Service) -> AsyncIterator[Asked]:
    for link in service.mailbox.links():
        yield await ask(service, link.removeprefix(PUBLIC_URL), None, PARTNER)


async def _of_figures(service: Service) -> AsyncIterator[Asked]:
    for association in (await service.request("GET", "/associations")).json()["value"]:
        address = f"/associations/{association['id']}"
        if not address.startswith(NOBODY_TOLD_OF):
            for path in ("usage", "advice"):
                yield await ask(service, f"{address}/{path}", "Incentives.Admin", PARTNER)


async def _pages(service: Service, path: str, role: str, organisation: str) -> AsyncIterator[Asked]:
    following: str | None = path
    while following is not None:
        one = await ask(service, following, role, organisation)
        yield one
        link = one.answer.get("nextLink")
        following = link.removeprefix(PUBLIC_URL) if link is not None else None


async def _batches(service: Service) -> Sequence[str]:
    found = {row.partition async for row in service.services.rows.scan("batches")}
    return [f"/claim-batches/{batch}" for batch in sorted(found)]


async def ask(service: Service, path: str, role: str | None, organisation: str) -> Asked:
    """Ask one question."""
    headers = {"Accept": "application/json"}
    answer = await service.request("GET", path, role=role, tenant=organisation, headers=headers)
    assert answer.status_code == httpx.codes.OK, f"{path}: {answer.text}"
    return Asked(path, role, organisation, answer.status_code, answer.json())


async def _messages(service: Service) -> Sequence[tuple[str, str]]:
    """Return what lies in the queues, and a report of a mail that came back."""
    found = {(queue, taken.text) for queue in QUEUES for taken in await service.services.queues.take(queue, 32)}
    mails = [row async for row in service.services.rows.scan("mails")]
    told = next(row for row in mails if str(row.values["claimId"]).startswith(NOTICED_WINDOW_RUNS))
    report = {"messageId": told.partition, "event": "bounced"}
    return sorted({*found, (MAIL_EVENTS, json.dumps(report))})


async def _blobs(service: Service) -> Mapping[str, str]:
    found = {}
    async with service.services.connection.blobs() as client:
        for container in bootstrap.CONTAINERS:
            held = client.get_container_client(container)
            async for name in held.list_blob_names():
                data = await (await held.download_blob(name)).readall()
                found[f"{container}/{name}"] = base64.b64encode(data).decode()
    return found


def claim_of(link: str) -> str:
    """Return the claim of a mailed link."""
    found = re.search(r"/customer/requests/([0-9a-f]+)\?t=", link)
    assert found is not None
    return found[1]


def instant(known: Known) -> datetime:
    """Return when the copy was made."""
    return datetime.fromisoformat(known.now)
