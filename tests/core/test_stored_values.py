"""Storage leaves out None, and every value must be readable without its None fields."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from cpor_core.model.base import Value
from cpor_core.model.claim import Claim
from cpor_core.model.history import Entry
from cpor_core.model.registry import Customer, Partner, Subscription
from cpor_core.model.slot import Slot
from cpor_core.model.usage import MonthFigures, Receipt


def values(kind: type[Value]) -> Iterator[type[Value]]:
    """Yield *kind* and every value type inside it."""
    yield kind
    for field in kind.model_fields.values():
        for part in parts(field.annotation):
            if isinstance(part, type) and issubclass(part, Value):
                yield from values(part)


def parts(annotation: Any) -> Iterator[Any]:
    """Yield every type in an annotation."""
    yield annotation
    for argument in get_args(annotation):
        yield from parts(argument)


@pytest.mark.parametrize("stored", [Claim, Slot, Entry, Partner, Customer, MonthFigures, Receipt])
def test_every_field_that_can_be_none_has_a_default(stored: type[Value]) -> None:
    """A field without a default could be written and not be read again."""
    for kind in values(stored):
        for name, field in kind.model_fields.items():
            if type(None) in parts(field.annotation):
                assert not field.is_required(), f"{kind.__name__}.{name} needs a default"


def test_no_validator_of_a_subscription_runs_in_python() -> None:
    """A customer can have 500 subscriptions, and each submission and each notice reads them all."""
    schema = str(TypeAdapter(tuple[Subscription, ...]).core_schema)

    assert "pattern" in schema
    assert "function-" not in schema
