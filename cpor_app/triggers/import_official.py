"""The programme's calls about past associations: the import, and the list of those that the customer does not know."""

from cpor_app.http.request import Call
from cpor_app.http.route_table import OPERATOR, PROGRAMME_AND_READER, Answer
from cpor_app.http.server import operation
from cpor_core.model.base import Guid, Instant, PartnerId, Value
from cpor_core.model.claim import LEFT_OUT, Item
from cpor_core.rules.untold import Untold, untold
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.register.import_official import PastAssociation, import_lines
from cpor_core.use_cases.register.untold import untold_associations
from cpor_core.use_cases.usage.figures import Loaded

IMPORT_BYTES = 32 * 2**20
JSON_LINES = "application/x-ndjson"


@operation(
    summary="Import associations of the past, with one JSON line for each",
    tag="Associations",
    roles=OPERATOR,
    body=PastAssociation,
    body_types=(JSON_LINES,),
    max_bytes=IMPORT_BYTES,
    answers={200: Loaded},
)
async def import_associations(call: Call) -> Answer:
    """
    Each association is official at once and holds its item. An association of an older programme is stored under the
    successor of its engagement. A line is rejected if its item has a holder already.

    For an engagement that can be claimed, the association must have begun before `CPOR_IMPORTS_BEFORE`, and there must
    be an address at the customer. The line's `customerContact` and the tenant's notice addresses get a mail with a link
    to end the association. The partner gets figures after that mail. The same line twice changes nothing, with one
    exception: while nobody at the customer knows of the association, a second line can name a new contact.
    """
    lines = call.bytes().split(b"\n")
    return Answer(200, await import_lines(call.ports, lines, call.person_id, await call.now()))


class UntoldAssociation(Value):
    """An imported association that is unknown to its customer, and the reason. Its partner gets no figures."""

    association_id: str
    because: Untold
    tenant_id: Guid
    customer_name: str
    partner_id: PartnerId
    partner_name: str
    engagement: str
    filed_as: str | None
    item: Item
    since: Instant
    imported_at: Instant


class ListedUntold(Value):
    """A page of associations that are unknown to their customers, the oldest import first."""

    value: tuple[UntoldAssociation, ...]
    next_link: str | None = LEFT_OUT


@operation(
    summary="Imported associations that are unknown to their customer",
    tag="Operations",
    roles=PROGRAMME_AND_READER,
    answers={200: ListedUntold},
    paged=True,
)
async def list_untold_associations(call: Call) -> Answer:
    """
    `because` has the reason: there was nobody to notify, the mail is on its way, or the mail came back from every
    recipient.

    A new notice address of the tenant gets the mail. To notify another contact, import the same line with another
    `customerContact`.
    """
    after, limit = call.page({})
    now = await call.now()
    page = await untold_associations(call.ports, now, after=after, limit=limit)
    views = [_untold_view(case) for case in page.cases]
    return call.listed([view for view in views if view is not None], page.position, {})


def _untold_view(case: Case) -> UntoldAssociation | None:
    claim = case.claim
    because = untold(claim)
    if because is None or claim.imported is None or claim.official_since is None:
        return None
    return UntoldAssociation(
        association_id=claim.id,
        because=because,
        tenant_id=claim.tenant_id,
        customer_name=claim.imported.customer_name,
        partner_id=claim.partner_id,
        partner_name=claim.partner_name,
        engagement=claim.engagement,
        filed_as=claim.filed_as,
        item=claim.items[0],
        since=claim.official_since,
        imported_at=claim.status_since,
    )
