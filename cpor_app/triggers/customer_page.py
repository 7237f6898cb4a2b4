"""The page behind a mailed link. A GET only shows the page. An act needs a POST with the nonce of the page."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from urllib.parse import parse_qsl

from pydantic import JsonValue

from cpor_app.http.parsing import validated
from cpor_app.http.request import Call, not_found
from cpor_app.http.route_table import JSON, Answer
from cpor_app.http.server import operation, wants_json
from cpor_app.triggers.customer_no import record_no
from cpor_core.errors import Refused
from cpor_core.model.base import LateModel, Text1000, Value
from cpor_core.model.claim import ClaimedCustomer, Item, Status
from cpor_core.model.history import spoken_by
from cpor_core.model.usage import Receipt
from cpor_core.ports.claims import Comment
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import as_of
from cpor_core.use_cases.change_claim import ActContext
from cpor_core.use_cases.claims import customer_acts
from cpor_core.use_cases.usage.receipts import receipts_of
from cpor_core.views import AssociatedItem, AssociationView, NoView, WindowView

HTML = "text/html"
FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 20
REFUSALS = ("NotFound", "LinkExpired", "InvalidState", "StaleForm")


class LinkQuery(LateModel):
    """The query of a mailed link. `lang` chooses the page's language. `done` names the act that the person just did."""

    t: str = ""
    lang: str | None = None
    done: str | None = None


class OfferedAct(Value):
    """An act that the page offers now: the address of its form, and its nonce."""

    act: str
    action: str
    nonce: str


class RequestedAssociation(Value):
    """The association that the request became."""

    id: str
    items: tuple[AssociatedItem, ...]


class OtherAssociation(Value):
    """Another association of the tenant, and the form that ends it."""

    association: AssociationView
    action: str
    nonce: str


class RequestPage(Value):
    """The content of the page as JSON."""

    request_id: str
    status: Status
    partner_name: str
    engagement: str
    customer: ClaimedCustomer
    items: tuple[Item, ...]
    window: WindowView | None
    declined: NoView | None
    association: RequestedAssociation | None
    acts: tuple[OfferedAct, ...]
    associations: tuple[OtherAssociation, ...]
    access_receipts: tuple[Receipt, ...]


class Form(Value):
    """The fields of a form of the page."""

    t: str = ""
    nonce: str = ""
    reason: Text1000 | None = None
    lang: str | None = None
    association_id: str | None = None
    arrival: str | None = None
    """Only with `decline`: the signed arrival from an answer `NotRecordedYet`."""


_act_operation = partial(
    operation,
    tag="Customer",
    body=Form,
    body_types=(FORM, JSON),
    answers={303: None, 200: RequestPage},
    location=True,
    in_words=True,
)


@operation(
    summary="The page of one request, for the person who got the link",
    tag="Customer",
    query=LinkQuery,
    answers={200: {HTML: str, JSON: RequestPage}},
    refusals=("NotFound", "LinkExpired"),
    in_words=True,
)
async def show_request(call: Call) -> Answer:
    """Reading changes nothing. The answer is JSON if the caller asks for it."""
    query = call.query(LinkQuery)
    return await _page(call, await _open(call, query.t), query)


@_act_operation(
    summary="Say no",
    refusals=(*REFUSALS, "ArrivalUnknown", "NotRecordedYet"),
)
async def decline_request(call: Call) -> Answer:
    """
    A no is accepted in every open state. It ends an official association. The partner can read the reason.

    While a contact's no can be undone, a registered notice address can say no too. Then the contact cannot undo the no.
    The service tries for a minute to record a no. If that fails, the answer is 503 `NotRecordedYet` with an `arrival`.
    Send the same no with the `arrival` within 24 hours. The no then counts as of that arrival, and needs no nonce.
    """
    form = _form(call)
    _verify_link(call, form.t)
    try:
        opened, after = await record_no(call, f"decline\n{form.t}", form.arrival, partial(_say_no, call, form))
    except Refused as refused:
        if refused.code == "NotRecordedYet":
            if form.arrival is None and call.came_in is not None:
                _verify_nonce(call, form, "decline", call.came_in)
            call.unsent = {
                "t": form.t,
                "arrival": call.arrival or "",
                **({"reason": form.reason} if form.reason else {}),
                **({"lang": form.lang} if form.lang else {}),
            }
        raise
    after = as_of(after, await call.now())  # the no may have arrived long ago
    return await _answer_act(call, form, "decline", opened, after)


@_act_operation(
    summary="Undo the no, before the window ends",
    refusals=(*REFUSALS, "DeclineNotYours", "SlotAwaitsCustomer"),
)
async def undo_decline(call: Call) -> Answer:
    """
    The person who declined can do this, and so can a person with a higher voice. After another request has taken the
    item, nobody can.

    A registered notice address has a higher voice than the contact whom the partner named. The tenant's administrator
    has the highest voice.
    """
    return await _act(call, "undo")


@_act_operation(
    summary="End the association",
    refusals=REFUSALS,
)
async def end_by_customer(call: Call) -> Answer:
    """You can do this at any time. The partner's access to the figures stops at once."""
    return await _act(call, "end")


@_act_operation(
    summary="Say that you are not the person to ask",
    refusals=REFUSALS,
)
async def not_me(call: Call) -> Answer:
    """This counts like a bounced mail. If nobody else was notified, the partner must name another contact."""
    return await _act(call, "not-me")


async def _open(call: Call, token: str) -> customer_acts.Opened:
    """Return the request of a link. Raises `NotFound` for a link of another request, and `LinkExpired`."""
    recipient = _verify_link(call, token)
    try:
        return await customer_acts.open_link(call.ports, call.claim_id, recipient, await call.now())
    except Refused:
        call.back = None  # the page itself is refused, so a link back would show the same refusal
        raise


def _verify_link(call: Call, token: str) -> int:
    """Return the number of the recipient, without reading storage. Raises `NotFound` for a link of another request."""
    claim_id, recipient = call.services.links.read(token)
    if claim_id != call.claim_id:
        raise Refused("NotFound", "This link belongs to another request.", resolution="Open the link as it was mailed.")
    call.back = call.services.links.request_url(claim_id, token)
    return recipient


async def _act(call: Call, act: str) -> Answer:
    form = _form(call)
    opened = await _open(call, form.t)
    now = await call.now()
    target = form.association_id if act == "end" and form.association_id != opened.case.claim.id else None
    _verify_nonce(call, form, act if target is None else call.services.pages.end_of(target), now)
    actor = spoken_by(opened.speaker)
    comment = Comment("customer", actor.id, form.reason, now) if form.reason else None
    context = ActContext(person_id=actor.id, comment=comment)
    after = opened.case
    if target is not None:
        await customer_acts.end(call.ports, await _other_association(call, opened, target), actor, now, context)
    elif act == "end":
        after = await customer_acts.end(call.ports, opened.case, actor, now, context)
    elif act == "not-me":
        after = await customer_acts.not_me(call.ports, opened, now, context)
    else:
        after = await customer_acts.undo(call.ports, opened.case, opened.speaker, now, context)
    return await _answer_act(call, form, act, opened, after)


def _verify_nonce(call: Call, form: Form, act: str, now: datetime) -> None:
    if not call.services.links.check_nonce(form.nonce, form.t, act, now):
        raise Refused(
            "StaleForm",
            "The form is older than an hour, or belongs to another page.",
            target="nonce",
            resolution="Open the link again and send the form that it shows.",
        )


async def _answer_act(call: Call, form: Form, act: str, opened: customer_acts.Opened, after: Case) -> Answer:
    """Answer an act: with the page as JSON, or with a redirect to the page."""
    if wants_json(call.headers):
        return await _page(call, replace(opened, case=after), LinkQuery(t=form.t))
    location = f"{call.back}&done={act}"
    if form.lang is not None and form.lang.replace("-", "").isalnum() and form.lang.isascii():
        location += f"&lang={form.lang}"
    return Answer(303, None, HTML, {"Location": location})


async def _other_association(call: Call, opened: customer_acts.Opened, association_id: str) -> Case:
    """Return another association of the tenant that this link can end. Raises `NotFound`."""
    now = await call.now()
    for case in (await customer_acts.with_others(call.ports, opened, now)).others:
        if case.claim.id == association_id:
            return case
    raise not_found("association")


async def _say_no(call: Call, form: Form, arrived: datetime, again: bool) -> tuple[customer_acts.Opened, Case]:  # noqa: FBT001 - as `record_no` calls it
    """Say no. If the no is refused, the page of the refusal shows the request as it is now."""
    opened = await _open(call, form.t)
    if form.arrival is None:
        _verify_nonce(call, form, "decline", arrived)
    actor = spoken_by(opened.speaker)
    comment = Comment("customer", actor.id, form.reason, arrived) if form.reason else None
    context = ActContext(person_id=actor.id, comment=comment)
    try:
        return opened, await customer_acts.decline(
            call.ports, opened.case, opened.speaker, arrived, context, again=again
        )
    except Refused:
        call.refused_request = await _open(call, form.t)
        raise


def _form(call: Call) -> Form:
    """Return the form. Raises `ValidationFailed`, `UnsupportedMediaType`."""
    body = call.bytes()
    if call.media_type == "application/json":
        return call.body(Form)
    try:
        fields: Mapping[str, str] = dict(parse_qsl(body.decode(), max_num_fields=MOST_FIELDS))
    except ValueError:
        raise Refused(
            "ValidationFailed", "The form can't be read.", resolution="Open the link again, and send its form."
        ) from None
    with validated():
        return Form.model_validate(fields)


async def _page(call: Call, opened: customer_acts.Opened, query: LinkQuery) -> Answer:
    now = await call.now()
    pages = call.services.pages
    opened = await customer_acts.with_others(call.ports, opened, now)
    receipts = await receipts_of(call.ports, opened.case)
    if wants_json(call.headers):
        values: JsonValue = pages.as_json(opened, query.t, now, receipts)
        return Answer(200, values)
    language = pages.language(query.lang, opened.recipient.language, call.headers.get("accept-language"))
    html = pages.page(opened, query.t, now, receipts, language=language, chosen_language=query.lang, done=query.done)
    return Answer(200, html.encode(), HTML, {"Content-Security-Policy": pages.csp()})
