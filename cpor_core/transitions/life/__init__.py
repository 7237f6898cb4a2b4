"""
The life of a claim, as one state machine for people and for the clock.

`settle` makes the moves that time alone makes; every act begins with it, every read shows its result (`effective`), and
the timer only stores it. So a late, doubled or dead timer changes nothing. A successor's takeover is an instant in the
slot row, set when the customer was told: from that instant on it is the holder on every read.

Before an act writes slots, every other claim that has taken one over by now is settled (`taken_over_by_others`), so
that no instant which another claim has set there is ever lost.

One file for each party that acts: `clock`, `partner`, `programme`, `customer`; `slots` and `steps` are what they share.
"""

from cpor_core.transitions.life.clock import (
    holders_to_supersede,
    settle,
    taken_over_before,
    taken_over_by_others,
)
from cpor_core.transitions.life.customer import (
    customer_unreachable,
    decline,
    hand_over,
    mark_notified,
    may_make_no_theirs,
    promise,
    recipient_failed,
    undo_decline,
)
from cpor_core.transitions.life.partner import delete, dispute, is_disputable, resubmit, submit, verify_draft, withdraw
from cpor_core.transitions.life.programme import (
    approve,
    claimants_to_refuse,
    end_gone_items,
    enter_past,
    notify_others,
    reject,
    request_information,
    revoke,
    start_review,
    strike_items,
)
from cpor_core.transitions.life.slots import (
    competing_claims,
    is_given_away,
    is_whole,
    verify_no_other_awaits,
    verify_places,
)
from cpor_core.transitions.life.steps import DISPUTE_PERIOD, end

__all__ = [
    "DISPUTE_PERIOD",
    "approve",
    "claimants_to_refuse",
    "competing_claims",
    "customer_unreachable",
    "decline",
    "delete",
    "dispute",
    "end",
    "end_gone_items",
    "enter_past",
    "hand_over",
    "holders_to_supersede",
    "is_disputable",
    "is_given_away",
    "is_whole",
    "mark_notified",
    "may_make_no_theirs",
    "notify_others",
    "promise",
    "recipient_failed",
    "reject",
    "request_information",
    "resubmit",
    "revoke",
    "settle",
    "start_review",
    "strike_items",
    "submit",
    "taken_over_before",
    "taken_over_by_others",
    "undo_decline",
    "verify_draft",
    "verify_no_other_awaits",
    "verify_places",
    "withdraw",
]
