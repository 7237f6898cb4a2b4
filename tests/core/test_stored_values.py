"""What is stored leaves out what is None, so every value must come back without it."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from cpor_core.model.base import Value
from cpor_core.model.claim import Claim
from cpor_core.model.history import Entry
from cpor_core.model.registry import Customer, Partner
from cpor_core.model.slot import Slot
from cpor_core.model.usage import MonthFigures, Receipt


def values(kind: type[Value]) -> Iterator[type[Value]]:
    """Yield *kind* and every value that it is made of."""
    yield kind
    for field in kind.model_fields.values():
        for part in parts(field.annotation):
            if isinstance(part, type) and issubclass(part, Value):
                yield from values(part)


def parts(annotation: Any) -> Iterator[Any]:
    """Yield every type that an annotation names."""
    yield annotation
    for argument in get_args(annotation):
        yield from parts(argument)


@pytest.mark.parametrize("stored", [Claim, Slot, Entry, Partner, Customer, MonthFigures, Receipt])
def test_whatever_may_be_none_may_be_left_out(stored: type[Value]) -> None:
    """A field that takes None and has no default could be written and never be read again."""
    for kind in values(stored):
        for name, field in kind.model_fields.items():
            if type(None) in parts(field.annotation):
                assert not field.is_required(), f"{kind.__name__}.{name} needs a default"
