"""Messages about the form of an input: the field comes first, then the rule, then an example."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from cpor_app.http.route_table import operations
from cpor_core.errors import Detail, Refused
from cpor_core.model.claim import Contact, NewClaim
from cpor_core.model.registry import Customer, Partner
from cpor_core.model.usage import UsageLine
from cpor_core.model.webhook import WebhookWanted
from cpor_core.rules.input_faults import not_in_form
from tests.support.service import claim_as_sent

WRONG: tuple[Any, ...] = (
    None,
    "",
    " ",
    "x",
    "x y",
    "x" * 5000,
    0,
    -1,
    2**40,
    1.5,
    True,
    [],
    [0],
    {},
    {"x": 1},
    "ü",
    "2026",
)
INSIDE = re.compile(r"[\^\[\]{}\\\\$]|Input should|String should|pattern|Value error|Tuple|dictionary|instance of|<")
"""Parts of patterns, and words of the library that found the fault."""


def faults(model: Any, sent: object) -> Sequence[Detail]:
    """Return the faults of an input, or an empty list."""
    try:
        TypeAdapter(model).validate_json(json.dumps(sent), by_alias=True, by_name=False)
    except ValidationError as error:
        return not_in_form(error).details
    return ()


def refusal_of(model: Any, sent: object) -> Refused:
    """Return the answer to a caller who sent this."""
    try:
        TypeAdapter(model).validate_json(json.dumps(sent), by_alias=True, by_name=False)
    except ValidationError as error:
        return not_in_form(error)
    pytest.fail(f"{sent} is in form")


def message(model: Any, sent: object, target: str) -> str:
    """Return the message about one field."""
    return next(detail.message for detail in refusal_of(model, sent).details if detail.target == target)


@pytest.mark.parametrize(
    ("model", "sent", "target", "said"),
    [
        (
            Customer,
            {"country": "France"},
            "country",
            "country must be a country's two capital letters in ISO 3166, such as FR.",
        ),
        (Customer, {"domains": ["x"]}, "domains[0]", "domains[0] must be a domain, such as contoso.fr."),
        (Customer, {"domains": []}, "domains", "domains must not be empty."),
        (Customer, {"domains": ["a.b"] * 51}, "domains", "domains may have at most 50 entries."),
        (
            Customer,
            {"subscriptions": [{"channel": "x"}]},
            "subscriptions[0].channel",
            "subscriptions[0].channel must be one of: EA, WebDirect, CSP.",
        ),
        (
            Customer,
            {"subscriptions": [{"seats": -1}]},
            "subscriptions[0].seats",
            "subscriptions[0].seats must be at least 0.",
        ),
        (
            Customer,
            {"subscriptions": [{"seats": "9"}]},
            "subscriptions[0].seats",
            "subscriptions[0].seats must be a whole number.",
        ),
        (Customer, {"name": 1}, "name", "name must be a text."),
        (Customer, {"x": 1}, "x", "x is not a field of this request."),
        (Customer, {}, "country", "country is needed."),
        (Customer, [], "", "The body must be an object."),
        (
            Partner,
            {"entraTenantId": "x"},
            "entraTenantId",
            "entraTenantId must be a GUID, such as 6c1b5a34-9d2e-4f70-8a11-0c2d3e4f5a6b.",
        ),
        (NewClaim, claim_as_sent(partnerId="x"), "partnerId", "partnerId must be 4 to 10 digits, such as 4782913."),
        (NewClaim, claim_as_sent(waiveIncentive=1), "waiveIncentive", "waiveIncentive must be true or false."),
        (NewClaim, claim_as_sent(items=[]), "items", "items must not be empty."),
        (NewClaim, claim_as_sent(items=1), "items", "items must be a list."),
        (NewClaim, claim_as_sent(items=[{}] * 31), "items", "items may have at most 30 entries."),
        (NewClaim, claim_as_sent(name="x" * 201), "name", "name may have at most 200 characters."),
        (UsageLine, {"month": "2026-13"}, "month", "month must be a month as YYYY-MM, such as 2026-11."),
        (UsageLine, {"item": "x" * 101}, "item", "item may have at most 100 characters."),
        (UsageLine, {"item": "x y"}, "item", "item must be the id of a workload, such as teams, or of a subscription."),
        (
            WebhookWanted,
            {"url": "a b"},
            "url",
            "url must be an address without blanks, such as https://adatum.example/hooks/cpor.",
        ),
    ],
)
def test_a_fault_is_a_sentence_about_its_field(model: Any, sent: object, target: str, said: str) -> None:
    """The message has an example if the field has a form."""
    assert message(model, sent, target) == said


def test_no_message_shows_a_pattern_or_the_librarys_words() -> None:
    """The test sends many wrong values to each field of each input model."""
    seen = 0
    for line in operations():
        for kind in line.body_types:
            model = line.taken(kind)
            if model in (None, bytes, str):
                continue
            names = TypeAdapter(model).json_schema(by_alias=True).get("properties", {"": None})
            for sent in (*WRONG, *({name: value} for name in names for value in (*WRONG, [{name: 1}]))):
                for detail in faults(model, sent):
                    words = detail.message.removeprefix(detail.target or "")
                    assert INSIDE.search(words) is None, f"{line.name} {sent}: {detail.message}"
                    assert words != " is not valid.", f"{line.name} {sent}"
                    assert re.search(r"[^.]\.$", detail.message), detail.message
                    seen += 1

    assert seen > 1000


def test_one_fault_and_several_faults_have_different_sentences() -> None:
    """Several faults are told with their number."""
    one = refusal_of(NewClaim, claim_as_sent(partnerId="x"))
    two = refusal_of(NewClaim, claim_as_sent(partnerId="x", name=""))

    assert one.message == "One field is not valid."
    assert two.message == "2 fields are not valid."


def test_faults_beyond_the_form_come_in_the_same_answer() -> None:
    """A field with a wrong form gets no second fault."""
    with pytest.raises(ValidationError) as error:
        TypeAdapter(Contact).validate_python({"name": "Anne", "email": "x"})
    also = (Detail("ValidationFailed", "not this", "email"), Detail("ValidationFailed", "but this", "name"))

    refused = not_in_form(error.value, also=also)

    assert [detail.target for detail in refused.details] == ["email", "name"]
    assert [detail.message for detail in refused.details][1] == "but this"
    assert refused.message == "2 fields are not valid."
