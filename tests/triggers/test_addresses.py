"""Addresses that no caller should ask for: ids, names and queries of any kind are refused, or nothing is found."""

from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cpor_app.http.route_table import operations
from tests.support.service import Service
from tests.triggers.calls import TENANTS, address, may_call, shares_its_service

HOSTILE = st.sampled_from(
    [
        "'",
        "' or PartitionKey ne '",
        "../../claims",
        "..;",
        "\\",
        "a|b",
        "~",
        "claim|" + "b" * 52,
        "b" * 52,
        "B" * 52,
        "b" * 53,
        "0" * 52,
        "g" * 52,
        "-" * 36,
        "{0}",
        "%",
        "%2F",
        "%ZZ",
        "\u202e",
        "ﬀ" * 26,
        "\u0130",
        "٣" * 7,
        "1" * 5000,
        "9999-12",
        "0000-01",
        "null",
    ]
)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60) | HOSTILE
NAMES = (
    "api-version",
    "maxpagesize",
    "cursor",
    "status",
    "engagement",
    "partnerId",
    "customerTenantId",
    "includeEnded",
    "from",
    "to",
    "overdue",
    "competing",
    "signedOn",
    "validate",
    "asOf",
    "format",
    "tenantId",
    "t",
    "lang",
    "done",
)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,  # as for bodies
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@pytest.mark.slow
@given(data=st.data())
async def test_no_address_at_all_makes_the_service_fail(service: Service, data: st.DataObject) -> None:
    """Every operation that reads, with anything in the place of ids and behind the question mark."""
    reading = [line for line in operations() if line.method == "GET"]
    line = data.draw(st.sampled_from(reading), label="operation")
    names = ("claimId", "associationId", "requestId", "partnerId", "tenantId", "fileName", "engagementId")
    parts = {name: quote(data.draw(TEXT, label=name), safe="") for name in names if f"{{{name}}}" in line.route}
    query = data.draw(st.dictionaries(st.sampled_from(NAMES), TEXT, max_size=4), label="query")
    role = may_call(line)
    path = f"{address(line, '', **parts)}?{urlencode(query)}"

    answer = await service.request("GET", path, role=role, tenant=TENANTS[role] if role else "")

    assert answer.status_code < 500, answer.text


@shares_its_service
@pytest.mark.parametrize("path", ["/claims/%FF", "/claims/%C3", "/claims/%E2%82", "/engagements/%F0%9F", "/claims/%"])
async def test_what_is_no_utf_8_in_a_path_is_not_found(shared: Service, path: str) -> None:
    """The host leaves such octets as they were sent."""
    headers = {"Authorization": f"Bearer {shared.token('Incentives.Admin', 'a' * 8 + '-0000' * 3 + '-' + '0' * 12)}"}
    url = httpx.URL("http://127.0.0.1").copy_with(raw_path=f"/api{path}".encode())

    assert (await shared.client.request("GET", url, headers=headers)).status_code == 404


@shares_its_service
@pytest.mark.parametrize("query", ["status=%FF", "cursor=%FF%FE", "maxpagesize=%00", "engagement=a&engagement=b"])
async def test_what_is_no_utf_8_in_a_query_and_a_name_twice_are_refused(shared: Service, query: str) -> None:
    """A name that stands twice is one value with a comma, as the host joins it."""
    assert (await shared.request("GET", f"/claims?{query}")).status_code == 400
