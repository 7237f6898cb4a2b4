"""Records delivery reports of mail systems. A notice that came back has not notified its recipient (decision 25)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cpor_core.model.claim import MailKind, Status
from cpor_core.model.history import PROGRAMME
from cpor_core.model.mail import MailOutcome
from cpor_core.ports import Ports
from cpor_core.ports.notices import SentMail
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import change_claim
from cpor_core.use_cases.claims.time_to_answer import partner_answers_by

OLDEST_REPORT = timedelta(days=30)
"""If a report states an older instant, or a future one, the instant of its arrival counts."""


@dataclass(frozen=True, slots=True)
class MailEvent:
    """A report about one mail. `message_id` is the local part of the mail's Message-ID."""

    message_id: str
    outcome: MailOutcome
    """`DELIVERED`, `COMPLAINED` or `FAILED`. Only a failure changes a claim."""
    at: datetime | None = None
    """When it happened. None if the report does not say so."""


async def record(ports: Ports, event: MailEvent, now: datetime) -> bool:
    """
    Store a report. Returns whether this service has sent the mail. A repeated report does no harm.

    A failure counts if the mail is the notice of the present promise. If the claim then has no notified recipient, its
    window stops. An official claim is not stopped, but appears in the reviewer's list. A failure also counts if the
    mail is about an imported association. If that association then has no notified recipient, the partner gets no
    figures (decision 65).
    """
    at = event.at if event.at is not None and now - OLDEST_REPORT <= event.at <= now else now
    sent = await ports.mails.report(event.message_id, event.outcome, at)
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
