"""Small promises of a claim's parts, and of the core's refusals and faults."""

from itertools import combinations

import pytest
from pydantic import ValidationError

from cpor_core.errors import Detail, MailDelayed, RecipientRefused, Refused, Retryable, StorageBusy
from cpor_core.model.caller import Role, Unauthenticated, roles_that_count
from cpor_core.model.claim import (
    CLOSED,
    END_REASONS,
    NOT_DISPUTABLE,
    OPEN,
    REJECTION_REASONS,
    REQUEST_REASONS,
    REVIEWERS_REJECTION_REASONS,
    UNDECIDED,
    EndedItem,
    Item,
    Reason,
    Status,
)
from tests.core.builders import ENDS_AT, EXCHANGE, SALES, SUBSCRIPTION, TEAMS, awaiting, draft, promised, submitted


def test_an_item_is_a_workload_or_a_product_of_a_subscription() -> None:
    """The key identifies the slot. A subscription has one key for all its products (decision 9)."""
    assert (TEAMS.key, SALES.key) == ("teams", SUBSCRIPTION)


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"workload": "teams", "product": "dynamics-365-sales"},
        {"workload": "teams", "subscriptionId": SUBSCRIPTION},
        {"workload": "teams", "product": "dynamics-365-sales", "subscriptionId": SUBSCRIPTION},
        {"product": "dynamics-365-sales"},
        {"subscriptionId": SUBSCRIPTION},
        {"workload": "Teams"},
        {"product": "dynamics-365-sales", "subscriptionId": "1"},
    ],
)
def test_an_item_of_neither_kind_or_both_is_refused(sent: dict[str, str]) -> None:
    """An item has exactly one of the two."""
    with pytest.raises(ValidationError):
        Item.model_validate(sent)


def test_the_sets_of_states_do_not_overlap() -> None:
    """The sets are the open states, the closed states, and five other states."""
    others = {Status.DRAFT, Status.DECLINED, Status.REJECTED, Status.OFFICIAL}

    assert {*OPEN, *CLOSED, *others} == set(Status)
    assert len(OPEN) + len(CLOSED) + len(others) == len(Status)
    assert {Status.AWAITING_CUSTOMER} == OPEN - UNDECIDED


def test_each_reason_is_in_a_closed_list() -> None:
    """The reasons that a reviewer can choose are some of the reasons for a rejection."""
    lists = [REQUEST_REASONS, REJECTION_REASONS, END_REASONS]

    assert frozenset().union(*lists) == frozenset(Reason)
    assert REVIEWERS_REJECTION_REASONS < REJECTION_REASONS
    assert NOT_DISPUTABLE < REJECTION_REASONS
    assert {one & other for one, other in combinations(lists, 2)} == {
        frozenset({Reason.PRODUCTS_MISSING}),
        frozenset(),
        frozenset({Reason.SUBSCRIPTION_ENDED, Reason.REVOKED_BY_PROGRAMME}),
    }


def test_an_association_holds_the_items_that_have_not_ended() -> None:
    """An item that was never claimed is not among them."""
    claim = draft(items=(TEAMS, EXCHANGE)).claim
    claim = claim.model_copy(update={"ended_items": (EndedItem(key="teams", at=ENDS_AT, reason=Reason.SUPERSEDED),)})

    assert [claim.holds(key) for key in ("teams", "exchange", "sharepoint")] == [False, True, False]


def test_a_window_ends_only_when_it_was_opened() -> None:
    """Only a hand-over opens a window."""
    assert submitted(draft(), automatic=True).claim.window_ends_at is None
    assert promised(submitted(draft(), automatic=True)).claim.window_ends_at is None
    assert awaiting(draft()).claim.window_ends_at == ENDS_AT


def test_a_refusal_keeps_its_parts_apart() -> None:
    """A caller need not parse the message."""
    refused = Refused("Code", "A message.", target="field", resolution="Do this.", details=[Detail("Other", "More.")])

    assert (refused.code, refused.message, refused.target, refused.resolution) == (
        "Code",
        "A message.",
        "field",
        "Do this.",
    )
    assert refused.details == (Detail("Other", "More.", None, None),)
    assert str(refused) == "Code: A message."


def test_a_fault_has_the_retry_time_of_the_other_service() -> None:
    """The fault has it when the other service named a time."""
    assert StorageBusy("busy", retry_after_seconds=7).retry_after_seconds == 7
    assert Retryable("busy").retry_after_seconds is None
    delayed = MailDelayed("greylisted", retry_after_seconds=60, recipient_refused_for_now=True)
    assert (delayed.reason, delayed.retry_after_seconds, delayed.recipient_refused_for_now) == ("greylisted", 60, True)
    refused = RecipientRefused(550, "no such user")
    assert (refused.code, refused.reason) == (550, "no such user")


PROGRAMME_TENANT = "00000000-0000-4000-8000-00000000C0DE"


@pytest.mark.parametrize(
    ("tenant", "roles"),
    [
        (PROGRAMME_TENANT, {Role.PROGRAM_REVIEWER, Role.MAIL_EVENTS, Role.CUSTOMER_ADMIN}),
        (PROGRAMME_TENANT.lower(), {Role.PROGRAM_REVIEWER, Role.MAIL_EVENTS, Role.CUSTOMER_ADMIN}),
        ("aaaaaaaa-0000-4000-8000-000000000001", {Role.CUSTOMER_ADMIN}),
    ],
)
def test_the_programmes_roles_count_in_its_own_tenant_only(tenant: str, roles: set[Role]) -> None:
    """The administrator of any tenant can give all roles to its own people (decision 1)."""
    named = ["Program.Reviewer", "Mail.Events", "Customer.Admin", "Unknown.Role"]

    assert roles_that_count(named, tenant, PROGRAMME_TENANT) == roles


def test_a_refused_token_has_a_fixed_description() -> None:
    """The code is counted, and the caller reads the description."""
    unknown = Unauthenticated("TokenExpired", "The token has expired.")

    assert (unknown.reason_code, unknown.description, str(unknown)) == (
        "TokenExpired",
        "The token has expired.",
        "TokenExpired",
    )
