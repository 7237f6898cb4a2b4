"""What a reader of the programme sees of a claim: a closed list of its fields (decision 52)."""

import hashlib
from collections.abc import Iterator
from datetime import date, datetime
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest
from pydantic import TypeAdapter, ValidationError

from cpor_core.model.base import Value
from cpor_core.model.claim import Claim, Item, Status
from cpor_core.model.slot import Slot
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.views import closed_claim_view
from tests.core.builders import MONDAY, TERMS

SHOWN = {"id", "tenant_id", "partner_id", "engagement", "filed_as", "history_hash"}
"""The texts of a stored claim that reach a reader: ids and codes. Instants and closed lists of words are no texts."""


def marks(path: str) -> Iterator[str]:
    """Yield texts that name a field, in each form that a field can require."""
    digest = hashlib.sha256(path.encode()).hexdigest()
    yield f"mark-{path}"
    yield f"{digest[:9]}@mark.example"
    yield str(UUID(digest[:32]))
    yield str(int(digest[:7], 16))[:9]
    yield f"mark-{digest[:9]}"
    yield f"mark-{digest[:9]}.example"


def filled(kind: Any, path: str, made: dict[str, str]) -> Any:
    """Return a value of a type with every field filled. *made* gets the text of each field, by the field's path."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return filled(next(one for one in arguments if one is not type(None)), path, made)
    if origin is tuple:
        return (filled(arguments[0], path, made),)
    if isinstance(kind, type) and issubclass(kind, Value):
        prefix = f"{path}." if path else ""
        types = get_type_hints(kind, include_extras=True)
        return kind.model_construct(**{name: filled(types[name], prefix + name, made) for name in kind.model_fields})
    if origin is Annotated and not (isinstance(arguments[0], type) and issubclass(arguments[0], str)):
        return filled(arguments[0], path, made)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    plain = {bool: True, int: 1, datetime: MONDAY, date: MONDAY.date()}
    if kind in plain:
        return plain[kind]
    made[path] = next(text for text in marks(path) if fits(kind, text))
    return made[path]


def fits(kind: Any, text: str) -> bool:
    """Whether a text has the form of a type."""
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("of_item", [{"workload"}, {"product", "subscription_id"}])
def test_a_reader_sees_these_texts_of_a_claim_and_no_other(of_item: set[str]) -> None:
    """A new field of the claim is not shown until it is added to the list."""
    made: dict[str, str] = {}
    claim: Claim = filled(Claim, "", made)
    item = Item(**{name: made[f"items.{name}"] for name in of_item})
    claim = claim.model_copy(update={"status": Status.OFFICIAL, "items": (item,)})
    slots = {item.key: Slot(engagement=claim.engagement, key=item.key)}
    case = Case(claim=claim, slots=slots, stored=StoredCase(claim, slots), now=MONDAY)

    shown = closed_claim_view(case, TERMS).model_dump_json(by_alias=True)

    assert {"name", "comment", "reference", "taken_by", "contacts.customer.email", "evidence.file_name"} <= set(made)
    assert {"revenue.isv_solution", "promise.skipped_days.name", "recipients.name", "domain"} <= set(made)
    assert {path for path, text in made.items() if text in shown} == SHOWN | {f"items.{name}" for name in of_item}
