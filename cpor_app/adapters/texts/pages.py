"""Writes the customer's page of one request, in HTML and JSON, and the programme's page of figures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from pydantic import JsonValue

from cpor_app.adapters.identity.links import Links
from cpor_app.adapters.texts.display_names import declined_by, engagement_name, item_names
from cpor_app.adapters.texts.facts import (
    ActForm,
    Closing,
    HeldAssociation,
    MessageFacts,
    MessageKind,
    PageFacts,
    notice_facts,
)
from cpor_app.adapters.texts.insight_page import insight_page
from cpor_app.adapters.texts.texts import Texts
from cpor_core.model.catalogue import Catalogue
from cpor_core.model.claim import Claim, Item, Status
from cpor_core.model.usage import Receipt
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import is_given_away
from cpor_core.use_cases.claims.customer_acts import CustomerAct, Opened, possible_acts
from cpor_core.use_cases.insight.answers import Sums
from cpor_core.use_cases.usage.receipts import SHOWN
from cpor_core.views import associated_items, association_view, no_view, window_view

MESSAGES: Mapping[str, MessageKind] = {
    "NotFound": MessageKind.NOT_FOUND,
    "LinkExpired": MessageKind.EXPIRED,
    "InvalidState": MessageKind.NOT_POSSIBLE_NOW,
    "DeclineNotYours": MessageKind.NOT_YOURS,
    "NotRecordedYet": MessageKind.NOT_RECORDED,
    "SlotAwaitsCustomer": MessageKind.ALREADY_GIVEN_AWAY,
    "StaleForm": MessageKind.STALE_FORM,
    "ValidationFailed": MessageKind.BAD_FORM,
    "InvalidJson": MessageKind.BAD_FORM,
    "LengthRequired": MessageKind.BAD_FORM,
    "UnsupportedMediaType": MessageKind.BAD_FORM,
    "PayloadTooLarge": MessageKind.REASON_TOO_LONG,
}


class Pages:
    """Writes the pages behind mailed links, and the programme's page."""

    def __init__(self, texts: Texts, links: Links, catalogue: Catalogue, public_url: str) -> None:
        """Write with *texts*, and sign with *links*. The addresses on the pages begin with *public_url*."""
        self._texts = texts
        self._links = links
        self._catalogue = catalogue
        self._public_url = public_url

    @staticmethod
    def end_of(association_id: str) -> str:
        """Return the act in the nonce of a form that ends another association of the tenant."""
        return f"end {association_id}"

    def csp(self) -> str:
        """Return the Content-Security-Policy of all pages."""
        return self._texts.csp()

    def language(self, chosen: str | None, customers: str | None, accepted: str | None) -> str:
        """Return the language of a page: from `?lang`, else the customer's language, else from `Accept-Language`."""
        return self._texts.negotiate(chosen, customers, accepted)

    def refusal(
        self,
        code: str,
        *,
        accepted: str | None,
        chosen: str | None,
        back: str | None,
        refused_request: Opened | None = None,
        action: str = "",
        unsent: Mapping[str, str] | None = None,
    ) -> str:
        """
        Return a page that says why the request cannot be shown, or why the act was refused.

        *back* is the address to which the page links. *refused_request* is the request for which the act was refused.
        If that request is declined already, the page says so. *unsent* are the fields of a no that could not be
        recorded. The page has a form that sends them to *action*.
        """
        kind = MESSAGES.get(code, MessageKind.TRY_LATER)
        chosen = chosen or (unsent or {}).get("lang")
        message = MessageFacts(back=back, action=action, unsent=unsent or {})
        customers = refused_request.recipient.language if refused_request is not None else None
        if refused_request is not None and kind is MessageKind.NOT_POSSIBLE_NOW:
            claim = refused_request.case.claim
            if claim.status is Status.DECLINED:
                notice = notice_facts(claim)
                kind = MessageKind.ALREADY_DECLINED
                message = replace(
                    message,
                    happened_at=_happened_at(claim),
                    declined_by=declined_by(claim, refused_request.speaker),
                    time_zone=notice.time_zone,
                    country=notice.country,
                )
        language = self._texts.negotiate(chosen, customers, accepted)
        return self._texts.message_page(language, kind, message)

    def insight(self, sums: Sums, *, shows_small: bool) -> str:
        """Return the programme's page of figures."""
        return insight_page(self._texts, partial(sums.answer, shows_small=shows_small))

    def page(
        self,
        opened: Opened,
        token: str,
        now: datetime,
        receipts: Sequence[Receipt],
        *,
        language: str,
        chosen_language: str | None,
        done: str | None,
    ) -> str:
        """Return the page of one request in HTML."""
        case, shown = opened.case, opened.case.claim
        names, acts = self._names(shown), possible_acts(opened)
        given_away = shown.status is Status.DECLINED and is_given_away(case, now)
        notice = notice_facts(shown)
        facts = PageFacts(
            status=shown.status,
            partner_name=shown.partner_name,
            customer_name=notice.customer_name,
            engagement_name=engagement_name(self._catalogue, shown),
            items=item_names(self._catalogue, shown, shown.items),
            page_url=self._links.request_url(shown.id, token),
            token=token,
            acts={act: ActForm(self._address(shown, act), self._links.nonce(token, act, now)) for act in acts},
            customer_domain=shown.domain,
            time_zone=notice.time_zone,
            country=notice.country,
            last_day=notice.last_day,
            skipped_days=notice.skipped_days,
            incumbents=notice.incumbents,
            refused_before=shown.refused_before.date() if shown.refused_before is not None else None,
            since=shown.official_since,
            happened_at=_happened_at(shown),
            closing=Closing.of(shown.end_reason or shown.status_reason),
            ended_items=tuple(names[ended.key] for ended in shown.ended_items) if shown.ended_at is None else (),
            declined_by=declined_by(shown, opened.speaker),
            others_can_undo=shown.can_be_undone(now) and "undo" not in acts and not given_away,
            place_given_away=given_away,
            receipts=tuple(
                one.model_copy(update={"items": tuple(names.get(key, key) for key in one.items)}) for one in receipts
            ),
            others=tuple(self._held(other, shown, token, now) for other in opened.others),
            just_done=CustomerAct(done) if done in set(CustomerAct) else None,
            more_receipts=len(receipts) == SHOWN,
            chosen_language=chosen_language,
        )
        return self._texts.page(language, facts)

    def _held(self, other: Case, here: Claim, token: str, now: datetime) -> HeldAssociation:
        claim = other.claim
        held = [item for item in claim.items if claim.holds(item.key)]
        return HeldAssociation(
            association_id=claim.id,
            partner_name=claim.partner_name,
            engagement_name=engagement_name(self._catalogue, claim),
            items=item_names(self._catalogue, claim, held),
            since=claim.official_since or now,
            form=ActForm(self._address(here, "end"), self._links.nonce(token, self.end_of(claim.id), now)),
        )

    def as_json(self, opened: Opened, token: str, now: datetime, receipts: Sequence[Receipt]) -> dict[str, JsonValue]:
        """Return the page of one request as JSON, with a nonce for each possible act."""
        case, shown = opened.case, opened.case.claim
        window, no = window_view(case), no_view(case)
        return {
            "requestId": shown.id,
            "status": shown.status.value,
            "partnerName": shown.partner_name,
            "engagement": shown.engagement,
            "customer": {"tenantId": shown.tenant_id, "domain": shown.domain},
            "items": [item.model_dump(mode="json", by_alias=True) for item in shown.items],
            "window": window.model_dump(mode="json", by_alias=True) if window is not None else None,
            "declined": no.model_dump(mode="json", by_alias=True) if no is not None else None,
            "association": {
                "id": shown.id,
                "items": [item.model_dump(mode="json", by_alias=True) for item in associated_items(case)],
            }
            if shown.official_since is not None
            else None,
            "acts": [
                {"act": act, "action": self._address(shown, act), "nonce": self._links.nonce(token, act, now)}
                for act in possible_acts(opened)
            ],
            "associations": [
                {
                    "association": other.model_dump(mode="json", by_alias=True),
                    "action": self._address(shown, "end"),
                    "nonce": self._links.nonce(token, self.end_of(other.id), now),
                }
                for held in opened.others
                if (other := association_view(held)) is not None
            ],
            "accessReceipts": [receipt.model_dump(mode="json", by_alias=True) for receipt in receipts],
        }

    def _names(self, shown: Claim) -> Mapping[str, str]:
        items: Sequence[Item] = shown.items
        return dict(zip((item.key for item in items), item_names(self._catalogue, shown, items), strict=True))

    def _address(self, shown: Claim, act: str) -> str:
        return f"{self._public_url}/customer/requests/{shown.id}/{act}"


def _happened_at(shown: Claim) -> datetime:
    """Return when the claim came into its state. If a higher voice confirmed a no, return when it did so."""
    if shown.status is Status.DECLINED and shown.no is not None:
        return shown.no.at
    return shown.ended_at or shown.status_since
