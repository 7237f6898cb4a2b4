"""Makes the table of mails to a partner's contact, with their subjects and the acts that lead to them."""

from datetime import UTC, date, datetime
from itertools import product

from cpor_app.adapters.texts.facts import PartnerMailFacts
from cpor_app.adapters.texts.texts import Texts
from cpor_core.model.claim import PartnerMailKind, Status
from cpor_core.model.history import PROGRAMME, Act, entry
from cpor_core.rules.partner_mail import SUBJECT_TO_CHANGE, mail_about
from tools.pages.markdown import code, table

_AT = datetime(2026, 11, 2, 9, tzinfo=UTC)
_FACTS = PartnerMailFacts(
    claim_name="Contoso adoption",
    claim_id="…",
    customer_domain="contoso.fr",
    engagement_name="Modern Work and Security Usage",
    last_day=date(2026, 11, 9),
    happened_at=_AT,
)
_NO_ENTRY = {
    PartnerMailKind.ANSWER_REMINDER: (
        "no act, but on the business day before the last day to answer",
        "the partner has answered",
    ),
    PartnerMailKind.COMPETING: (
        "`submitted`, `resubmitted` or `disputed` of one of the two claims",
        "one of the two claims has left the slot",
    ),
}
_STAYS_TRUE = "–"


def mails() -> str:
    """Return the table of all mails, in the order of `PartnerMailKind`."""
    texts = Texts()
    rows = []
    for kind in PartnerMailKind:
        after, dropped = _NO_ENTRY.get(kind) or (_acts(kind), _when_dropped(kind))
        rows.append((code(kind.value), texts.partner_mail(kind, "en", _FACTS).subject, after, dropped))
    return "\n".join([*table(("mail", "subject", "sent after", "no longer sent once"), rows), ""])


def _acts(kind: PartnerMailKind) -> str:
    """Return the acts after which the mail is sent. If the state after the act decides, it is included."""
    found: dict[Act, list[Status]] = {}
    for act, to in product(Act, Status):
        made = entry(sequence=1, at=_AT, actor=PROGRAMME, act=act, from_=None, to=to, reason=None, previous_hash=None)
        if mail_about(made) is kind:
            found.setdefault(act, []).append(to)
    return ", ".join(code(act.value) + _led_to(states) for act, states in found.items())


def _led_to(states: list[Status]) -> str:
    if len(states) == 1:
        return f" (to {code(states[0].value)})"
    return "" if len(states) == len(Status) else " (otherwise)"


def _when_dropped(kind: PartnerMailKind) -> str:
    if kind is PartnerMailKind.EVIDENCE_ASKED:
        return "the association has ended, or the last day is over"
    return "the claim has left that state" if kind in SUBJECT_TO_CHANGE else _STAYS_TRUE
