"""Ids and keys that are computed from their subject."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpor_core.rules.identifiers import (
    CLAIM_ID_LENGTH,
    derived_claim_id,
    is_claim_id,
    list_position,
    message_id,
    new_claim_id,
    newest_first,
    tenant_of,
)
from tests.core.builders import ADATUM, FABRIKAM, MICROSECOND, MONDAY, TENANT

RANDOM = "0123456789abcdef" * 2


def test_a_claim_id_contains_its_tenant() -> None:
    """One point read finds the claim's partition. The rest of the id cannot be guessed."""
    made = new_claim_id(TENANT, RANDOM)

    assert made == "bbbbbbbb000040008000000000000001" + RANDOM[:20]
    assert len(made) == CLAIM_ID_LENGTH
    assert tenant_of(made) == TENANT
    assert is_claim_id(made)


@pytest.mark.parametrize(
    "text",
    ["", "a", TENANT, "A" * 52, "g" * 52, "a" * 51, "a" * 53, "../" + "a" * 49, "é" * 52, "1" * 51 + "\n"],
)
def test_a_text_that_is_no_claim_id_is_recognised_by_its_form(text: str) -> None:
    """Other texts never become a part of a key."""
    assert not is_claim_id(text)


def test_a_repeated_creation_has_the_same_id() -> None:
    """The organisation, the tenant and the key are equal. If one differs, the id differs (decision 39)."""
    first = derived_claim_id(TENANT, ADATUM, "key")

    assert is_claim_id(first)
    assert tenant_of(first) == TENANT
    assert derived_claim_id(TENANT, ADATUM, "key") == first
    assert derived_claim_id(TENANT, ADATUM, "another key") != first
    assert derived_claim_id(TENANT, FABRIKAM, "key") != first


instants = st.datetimes(
    min_value=datetime(1970, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    max_value=datetime(2280, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(instants, instants)
def test_the_newest_key_sorts_first(one: datetime, other: datetime) -> None:
    """Keys sort backwards in time, to the microsecond, and have one length."""
    assert (newest_first(one) < newest_first(other)) == (one > other)
    assert len(newest_first(one)) == 16


def test_the_same_instant_in_another_zone_has_the_same_key() -> None:
    """A key depends on the instant and not on its offset."""
    assert newest_first(MONDAY.astimezone(timezone(timedelta(hours=9)))) == newest_first(MONDAY)


def test_a_list_position_tells_claims_of_one_instant_apart() -> None:
    """The order is the newest first, and then by id."""
    assert list_position(MONDAY + MICROSECOND, "a") < list_position(MONDAY, "a") < list_position(MONDAY, "b")


def test_each_message_has_one_id_in_every_try() -> None:
    """A mail that was sent twice is recognised by its id."""
    first = message_id("claim", "notice", 1, 1)

    assert message_id("claim", "notice", 1, 1) == first
    others = {
        message_id("other", "notice", 1, 1),
        message_id("claim", "reminder", 1, 1),
        message_id("claim", "notice", 2, 1),
        message_id("claim", "notice", 1, 2),
    }
    assert len(others) == 4
    assert first not in others
