"""
The life of a claim, as one state machine for people and for time.

`settle` computes the changes that time alone makes. Each read and each act starts with `settle`, and the timer only
stores the result. So a late or missing run of the timer does not change any answer. When the customer is notified, the
slot's row gets the instant of the takeover. Each read after that instant sees the successor as the holder.

Before an act writes slots, the use case settles and stores the other claims that have taken over one of these slots
(`taken_over_by_others`). So the instant of a takeover is never overwritten.

Each party that acts has one file: `clock`, `partner`, `programme`, `customer`. These files share `slots` and `steps`.
"""

from cpor_core.transitions.life.clock import (
    as_of,
    holders_to_supersede,
    settle,
    taken_over_before,
    taken_over_by_others,
)
from cpor_core.transitions.life.customer import (
    can_take_over_no,
    customer_unreachable,
    decline,
    hand_over,
    mark_notified,
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
    release_review,
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
    "as_of",
    "can_take_over_no",
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
    "notify_others",
    "promise",
    "recipient_failed",
    "reject",
    "release_review",
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
