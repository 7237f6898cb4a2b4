"""The small types that many values share: the input that they accept and refuse, and their form in JSON."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from cpor_core.model.base import (
    Count,
    Day,
    Email,
    Flag,
    Guid,
    Instant,
    PartnerId,
    Slug,
    Text100,
    Text200,
    Text1000,
    Text4000,
    Value,
    rfc3339,
)

TENANT = "6c1b5a34-9d2e-4f70-8a11-0c2d3e4f5a6b"


class Sample(Value):
    """A value with two words in one name."""

    tenant_id: Guid
    opened_at: Instant | None = None


def accepted(kind: Any, sent: object) -> Any:
    """Return the value that *sent* becomes."""
    return TypeAdapter(kind).validate_python(sent)


# ------------------------------------------------------------------------------------------------ values


def test_a_value_is_camel_case_in_json_and_snake_case_in_python() -> None:
    """Python code can create a value with either form of a name."""
    sample = Sample.model_validate_json(f'{{"tenantId": "{TENANT}"}}')

    assert sample == Sample(tenant_id=TENANT)
    assert sample.model_dump(mode="json") == {"tenantId": TENANT, "openedAt": None}


def test_a_value_refuses_fields_that_it_does_not_know() -> None:
    """A misspelt field is an error and never dropped."""
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Sample.model_validate({"tenantId": TENANT, "tenant": TENANT})


def test_a_value_cannot_be_changed() -> None:
    """A checked value stays as it was checked."""
    sample = Sample(tenant_id=TENANT)

    with pytest.raises(ValidationError, match="frozen"):
        sample.tenant_id = TENANT  # type: ignore[misc]


def test_an_error_does_not_repeat_what_was_sent() -> None:
    """Errors reach the logs, and values contain addresses of people."""
    with pytest.raises(ValidationError) as refused:
        Sample.model_validate({"tenantId": "ana@contoso.fr"})

    assert "ana@contoso.fr" not in str(refused.value)


# ------------------------------------------------------------------------------------------------- texts


@pytest.mark.parametrize(
    ("kind", "sent", "kept"),
    [
        (Guid, TENANT.upper(), TENANT),
        (Guid, TENANT, TENANT),
        (PartnerId, "4782", "4782"),
        (PartnerId, "0000000000", "0000000000"),
        (Slug, "entra-id-p1", "entra-id-p1"),
        (Email, "ana@contoso.fr", "ana@contoso.fr"),
        (Email, "Seán.O'Brien@contoso.ie".replace("á", "a"), "Sean.O'Brien@contoso.ie"),
        (Email, "a+b@xn--bcher-kva.example", "a+b@xn--bcher-kva.example"),
        (Email, f"{'a' * 64}@contoso.fr", f"{'a' * 64}@contoso.fr"),
        (Text100, "x" * 100, "x" * 100),
        (
            Text200,
            "  Žluťoučký kůň – \u0645\u0631\u062d\u0628\u0627  ",
            "  Žluťoučký kůň – \u0645\u0631\u062d\u0628\u0627  ",
        ),
        (Text200, "👩‍🔧" * 60, "👩‍🔧" * 60),
        (Text1000, "one\r\ntwo\n\tthree", "one\ntwo\n\tthree"),
        (Text4000, "\r\n" * 3999 + "x", "\n" * 3999 + "x"),
    ],
)
def test_a_text_keeps_its_form(kind: Any, sent: str, kept: str) -> None:
    """A text stays as it was sent, except for capitals in a GUID and the line breaks of forms."""
    assert accepted(kind, sent) == kept


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        (Guid, TENANT[:-1]),
        (Guid, TENANT + "\n"),
        (Guid, "\n" + TENANT),
        (Guid, "٣" + TENANT[1:]),
        (Guid, "\ud800" + TENANT[1:]),
        (Guid, "{" + TENANT + "}"),
        (Guid, TENANT.replace("-", "")),
        (Guid, 5),
        (PartnerId, "123"),
        (PartnerId, "12345678901"),
        (PartnerId, "1234\n"),
        (PartnerId, "١٢٣٤"),
        (PartnerId, 12345),
        (Slug, "Teams"),
        (Slug, "teams-"),
        (Slug, "teams--phone"),
        (Slug, "teams\n"),
        (Slug, "teams\nTeams"),
        (Slug, "a" * 101),
        (Email, "ana"),
        (Email, "ana@contoso"),
        (Email, "ana@contoso.f"),
        (Email, "ana@contoso.fr\n"),
        (Email, "ana@contoso.fr\r\nBcc: eve@example.com"),
        (Email, "ana@contoso.fr, eve@example.com"),
        (Email, "Ana <ana@contoso.fr>"),
        (Email, '"ana"@contoso.fr'),
        (Email, "ana..b@contoso.fr"),
        (Email, ".ana@contoso.fr"),
        (Email, "ana@@contoso.fr"),
        (Email, "ana@-contoso.fr"),
        (Email, "ana@[192.0.2.1]"),
        (Email, "ana@192.0.2.1"),
        (Email, "ana@bücher.example"),
        (Email, f"{'a' * 65}@contoso.fr"),
        (Email, f"a@{'b.' * 126}fr"),
        (Text100, "x" * 101),
        (Text200, "x" * 201),
        (Text200, ""),
        (Text200, " \u00a0\u2003"),
        (Text200, "one\ntwo"),
        (Text200, "one\ttwo"),
        (Text200, "one\u2028two"),
        (Text200, "nul\x00"),
        (Text200, "\u202egnp.exe"),
        (Text1000, "x" * 1001),
        (Text1000, "\n \n"),
        (Text1000, "bell\x07"),
        (Text1000, "one\rtwo"),
        (Text1000, b"bytes\xff"),
        (Text4000, "x" * 4001),
        (Text4000, "\u2067aside"),
        (Text4000, None),
    ],
)
def test_a_text_that_does_not_fit_is_refused(kind: Any, sent: object) -> None:
    """The service never trims, cuts or guesses a text."""
    with pytest.raises(ValidationError):
        accepted(kind, sent)


@given(data=st.data(), kind=st.sampled_from([Guid, PartnerId, Slug, Email, Text100, Text200]))
def test_the_schema_accepts_the_texts_that_the_check_accepts(data: st.DataObject, kind: Any) -> None:
    """The published schema and the check agree on every text of one line."""
    schema = TypeAdapter(kind).json_schema()
    text = data.draw(st.text(max_size=220) | st.from_regex(schema["pattern"]))

    promised = re.search(schema["pattern"], text) is not None and not text.endswith("\n")
    promised = promised and len(text) <= schema.get("maxLength", len(text))

    try:
        accepted(kind, text)
    except ValidationError:
        assert not promised
    else:
        assert promised


# ----------------------------------------------------------------------------------------- instants and days


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ("2026-11-20T09:30:00Z", "2026-11-20T09:30:00Z"),
        ("2026-11-20t09:30:00z", "2026-11-20T09:30:00Z"),
        ("2026-11-20T09:30:00+02:00", "2026-11-20T07:30:00Z"),
        ("2026-11-20T09:30:00.5Z", "2026-11-20T09:30:00.500000Z"),
        ("2026-11-20T09:30:00.1234567Z", "2026-11-20T09:30:00.123456Z"),
        ("2026-11-20T00:00:00.000001-11:30", "2026-11-20T11:30:00.000001Z"),
        (datetime(2026, 11, 20, 9, 30, tzinfo=timezone(timedelta(hours=1))), "2026-11-20T08:30:00Z"),
    ],
)
def test_an_instant_is_answered_in_utc(sent: object, answered: str) -> None:
    """An instant ends with `Z`, and has microseconds only when they are not zero."""
    instant = accepted(Instant, sent)

    assert instant.tzinfo is UTC
    assert rfc3339(instant) == answered
    assert TypeAdapter(Instant).dump_python(instant, mode="json") == answered


@pytest.mark.parametrize(
    "sent",
    [
        "2026-11-20T09:30:00",
        "2026-11-20",
        "2026-11-20 09:30:00Z",
        "20261120T093000Z",
        "2026-13-20T09:30:00Z",
        "2026-11-20T24:30:00Z",
        "2026-11-20T09:30:00+25:00",
        "2026-W47-5T09:30:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "now",
        "1763631001",
        1763631000,
        1763631000.5,
        True,
        None,
        date(2026, 11, 20),
        datetime(2026, 11, 20, 9, 30),  # noqa: DTZ001 - a naive time is what is refused
    ],
)
def test_an_instant_without_its_offset_or_form_is_refused(sent: object) -> None:
    """A number could mean seconds or milliseconds, and a time without an offset could be in any zone."""
    with pytest.raises(ValidationError):
        accepted(Instant, sent)


@given(st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.timezones()))  # noqa: DTZ001 - the zone comes with it
def test_an_instant_survives_its_own_json(instant: datetime) -> None:
    """An instant keeps its microseconds and its moment, whatever its offset was."""
    adapter: TypeAdapter[datetime] = TypeAdapter(Instant)

    assert adapter.validate_json(adapter.dump_json(adapter.validate_python(instant))) == instant.astimezone(UTC)


def test_a_day_is_a_date() -> None:
    """A day is written as year, month and day."""
    assert accepted(Day, "2028-02-29") == date(2028, 2, 29)
    assert accepted(Day, date(2026, 11, 20)) == date(2026, 11, 20)


@pytest.mark.parametrize(
    "sent", ["2026-02-29", "2026-2-28", "20260227", "2026-W09-6", 20260228, datetime(2026, 2, 28, tzinfo=UTC), None]
)
def test_an_input_that_is_not_a_date_is_refused_as_a_day(sent: object) -> None:
    """A day is neither a number nor an instant."""
    with pytest.raises(ValidationError):
        accepted(Day, sent)


@pytest.mark.parametrize(
    ("kind", "sent"),
    [(Day, "2026-13-01"), (Day, "2026-02-29"), (Instant, "2026-02-29T09:30:00Z"), (Instant, "2026-11-20T24:30:00Z")],
)
def test_a_date_that_does_not_exist_is_refused_in_our_words(kind: object, sent: str) -> None:
    """The library's message names no field and gives no example."""
    with pytest.raises(ValidationError, match=r"must be a date (and time )?that exists?, such as 2026-11-20"):
        accepted(kind, sent)


@pytest.mark.parametrize(
    ("kind", "sent"),
    [(Flag, 1), (Flag, "true"), (Count, "2"), (Count, 1.0), (Count, True), (Count, -1), (Count, 2**31)],
)
def test_numbers_and_flags_are_not_guessed(kind: Any, sent: object) -> None:
    """Numbers and flags must be JSON numbers and JSON booleans, not texts."""
    with pytest.raises(ValidationError):
        accepted(kind, sent)
