"""The registration gives the tokens that the service takes, and no others."""

import re
from typing import Any

from cpor_app.adapters.identity.tokens import DELEGATED_SCOPE
from cpor_core.model.caller import Role
from tests.infra.bicep import INFRA, ROOT, declared

FILE = INFRA / "entra" / "main.bicep"
REGISTRATION: dict[str, Any] = declared(FILE, "resources")["registration"]["config"]
ROLES: list[dict[str, str]] = declared(FILE, "variables")["roles"]["value"]
AZURE_CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
"""Microsoft's own client id of the Azure CLI."""
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def test_every_role_can_be_given_to_people_and_to_applications() -> None:
    """All that the service knows, under ids of their own that never change."""
    assert {role["value"] for role in ROLES} == set(Role)
    assert declared(FILE, "variables")["everybody"]["value"] == ["User", "Application"]
    assert len({role["id"] for role in ROLES}) == len(ROLES)
    assert all(GUID.fullmatch(role["id"]) for role in ROLES)


def test_the_page_of_registration_has_the_ids_of_the_template() -> None:
    """Roles and scope, in the tables and in every command."""
    page = (ROOT / "docs" / "registration.md").read_text("utf-8")
    scopes = REGISTRATION["api"]["oauth2PermissionScopes"]

    rows = re.findall(r"^\| `([\w.]+)` \| `([0-9a-f-]{36})` \|", page, re.MULTILINE)
    assert rows == [(role["value"], role["id"]) for role in sorted(ROLES, key=lambda role: role["id"])]
    assert [f"| scope | `{scope['value']}` (`{scope['id']}`) |" in page for scope in scopes] == [True]
    known = {role["id"] for role in ROLES} | {scope["id"] for scope in scopes} | {AZURE_CLI}
    assert {match[0] for match in GUID.finditer(page)} == known
    for said in (REGISTRATION["signInAudience"], "requestedAccessTokenVersion: 2", "`idtyp`", "consentReturnUrl"):
        assert said in page


def test_tokens_are_of_the_version_and_with_the_claims_that_are_asked_for() -> None:
    """v2.0, for work accounts of any tenant; an application's token says that it is one."""
    scopes = REGISTRATION["api"]["oauth2PermissionScopes"]

    assert REGISTRATION["signInAudience"] == "AzureADMultipleOrgs"
    assert REGISTRATION["api"]["requestedAccessTokenVersion"] == 2
    assert [scope["value"] for scope in scopes] == [DELEGATED_SCOPE]
    assert all(GUID.fullmatch(scope["id"]) for scope in scopes)
    assert [claim["name"] for claim in REGISTRATION["optionalClaims"]["accessToken"]] == ["idtyp"]


def test_nobody_signs_in_at_the_registration_itself() -> None:
    """It is asked for tokens only: no secret, no key, no flow that hands a token to a page."""
    ways_in = {"passwordCredentials", "keyCredentials", "spa", "publicClient", "isFallbackPublicClient"}

    assert set(REGISTRATION) & ways_in == set()
    assert set(REGISTRATION["web"]) == {"redirectUris"}
    assert declared(FILE, "parameters")["consentReturnUrl"]["default"] == ""


def test_without_a_role_there_is_no_token() -> None:
    """Assignment is required in the programme's tenant; others decide for theirs."""
    assert declared(FILE, "resources")["principal"]["config"]["appRoleAssignmentRequired"] is True
