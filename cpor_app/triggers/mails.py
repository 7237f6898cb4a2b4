"""The mail log of a claim, for the programme and for the claim's partner."""

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from cpor_app.http.request import Call, PersonalData
from cpor_app.http.route_table import PARTNER, PROGRAMME, PROGRAMME_AND_READER, Answer
from cpor_app.http.server import operation
from cpor_core.model.base import Instant, Value
from cpor_core.model.claim import LEFT_OUT, MailKind, PartnerMailKind
from cpor_core.model.mail import MailOutcome
from cpor_core.use_cases.notices import mail_log
from cpor_core.use_cases.notices.mail_log import LoggedMail

KINDS = (*MailKind, *PartnerMailKind)


class MailView(Value):
    """A mail about a claim, without its recipient."""

    kind: Annotated[
        str,
        WithJsonSchema({"type": "string", "enum": [kind.value for kind in KINDS]}),
        Field(
            description=f"{', '.join(f'`{kind}`' for kind in MailKind)} go to the customer, all others to a partner."
        ),
    ]
    handed_over_at: Annotated[
        Instant | None,
        Field(description="When the mail system took the mail. Null if it has not, or if the instant is not known."),
    ]
    outcome: Annotated[
        MailOutcome,
        Field(
            description="`pending`: due, and not handed over yet. `handedOver`: the mail system took the mail. "
            "`delivered`, `complained` (the recipient called the mail unwanted): from a delivery report. `failed`: the "
            "recipient was refused, or the mail came back. `notSent`: no longer true before a hand-over. `unknown`: "
            "the outcome was not stored, or was deleted 90 days after the close of the claim."
        ),
    ]
    at: Annotated[
        Instant | None, Field(description="The instant of the outcome. Null if it has none, or is not known.")
    ]


class MailToRecipient(MailView):
    """A mail about a claim. A reader does not see the recipient's address."""

    recipient: Annotated[
        str | None,
        LEFT_OUT,
        Field(description="The address of an erased person is `erased@erased.invalid`."),
    ]


class PartnersMailLog(Value):
    """The mails about a claim, without their recipients."""

    value: tuple[MailView, ...]


class MailLog(Value):
    """The mails about a claim."""

    value: tuple[MailToRecipient, ...]


@operation(
    summary="What became of the claim's mails",
    tag="Claims",
    roles=PARTNER,
    answers={200: PartnersMailLog},
    refusals=("NotFound",),
)
async def list_mails(call: Call) -> Answer:
    """
    The answer has the mails to the partner's contact. It also says whether each mail to the customer was handed over,
    but not to whom, and not whether it arrived.

    Mails that were handed over come first, the oldest first. A mail is listed when it is due.
    """
    case = await call.own_case()
    log = await mail_log.mail_log(call.ports, case, await call.now())
    return Answer(200, PartnersMailLog(value=tuple(MailView(**_fields(mail)) for mail in mail_log.for_partner(log))))


@operation(
    summary="What became of each mail about a claim",
    tag="Reviews",
    roles=PROGRAMME_AND_READER,
    answers={200: MailLog},
    refusals=("NotFound",),
)
async def review_mails(call: Call) -> Answer:
    """
    A reader gets no `recipient`. For a mail to the partner's contact, `recipient` is the contact's present address.

    Mails that were handed over come first, the oldest first. A mail is listed when it is due. 90 days after the claim
    is closed, the outcome of its mails is `unknown`.
    """
    case = await call.any_case()
    log = await mail_log.mail_log(call.ports, case, await call.now())
    shows_people = call.roles & PROGRAMME
    call.shows(PersonalData.MAILS, [case.claim.id] if log else [])
    views = tuple(
        MailToRecipient(recipient=mail_log.address(case.claim, mail) if shows_people else None, **_fields(mail))
        for mail in log
    )
    return Answer(200, MailLog(value=views))


def _fields(mail: LoggedMail) -> dict[str, Any]:
    return {"kind": mail.kind, "handed_over_at": mail.handed_over_at, "outcome": mail.outcome, "at": mail.at}
