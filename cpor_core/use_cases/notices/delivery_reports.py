"""What mail systems report afterwards: a notice came back, so somebody was not told after all (rulings 25)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cpor_core.model.claim import MailKind, Status
from cpor_core.model.history import PROGRAMME
from cpor_core.ports import Ports
from cpor_core.ports.notices import SentMail
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import change_claim
from cpor_core.use_cases.claims.time_to_answer import partner_answers_by


class MailOutcome(StrEnum):
    """What became of a mail; only a failure changes anything."""

    DELIVERED = "delivered"
    FAILED = "bounced"
    COMPLAINED = "complained"


@dataclass(frozen=True, slots=True)
class MailEvent:
    """A report about one mail; `message_id` is the local part that we gave it."""

    message_id: str
    outcome: MailOutcome


async def record(ports: Ports, event: MailEvent, now: datetime) -> bool:
    """
    Take a report; returns whether the mail is one of ours. Twice is harmless.

    A failure counts when it is of the notice of the present promise: the window stops when nobody is left who was told.
    After `official` it changes nothing, but a reviewer gets to see the claim. A failure of the mail about an imported
    association counts too: without anybody who knows of it, its figures pause (rulings 65).
    """
    sent = await ports.mails.find(event.message_id)
    if sent is None:
        return False
    if event.outcome is not MailOutcome.FAILED or sent.kind not in (MailKind.NOTICE, MailKind.IMPORTED):
        return True
    stored = await ports.claims.load(sent.claim_id)
    if stored is None:
        return True
    case = life.settle(stored, now)
    answer_by = await partner_answers_by(ports, case.claim, now)

    def judge(current: Case) -> Case:
        if sent.kind == MailKind.NOTICE and not _is_of_present_promise(current, sent):
            return current
        after = life.recipient_failed(current, PROGRAMME, now, sent.recipient, answer_by=answer_by)
        if after.claim != current.claim and current.claim.status is Status.OFFICIAL and sent.kind == MailKind.NOTICE:
            return after.changed(look_at=now)
        return after

    await change_claim(ports, case, now, judge)
    return True


def _is_of_present_promise(case: Case, sent: SentMail) -> bool:
    return case.claim.promise is not None and case.claim.promise.number == sent.number
