"""The app may do what its code does, and no more: each role has the call that needs it."""

import re
from collections.abc import Mapping

from tests.infra.bicep import FILES, INFRA, ROOT

# By the name that Microsoft gives the role: where it is given, and the line of code that fails without it.
NEEDED_BY: Mapping[str, tuple[str, str, str]] = {
    "Storage Blob Data Owner": (
        "hostAccount",
        "infra/modules/function-app.bicep",
        "AzureWebJobsStorage__blobServiceUri: hostBlobEndpoint",
    ),
    "Storage Table Data Contributor": (
        "dataAccount",
        "cpor_app/adapters/storage/connection.py",
        "TableServiceClient(self.table_uri",
    ),
    "Storage Queue Data Contributor": (
        "dataAccount",
        "cpor_app/adapters/storage/connection.py",
        "QueueServiceClient(self.queue_uri",
    ),
    "Storage Blob Data Contributor": (
        "containers[index]",
        "cpor_app/adapters/storage/blobs.py",
        "await blob.upload_blob(",
    ),
    "Monitoring Metrics Publisher": (
        "insights",
        "infra/modules/function-app.bicep",
        "APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'",
    ),
    "Key Vault Secrets User": ("vault", "infra/main.bicep", "CPOR_LINK_SECRETS: '@Microsoft.KeyVault("),
    "Communication and Email Service Owner": (
        "communicationService",
        "cpor_app/adapters/mail/communication_services.py",
        "begin_send(",
    ),
}
GUIDS = {
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Communication and Email Service Owner": "09976791-48a7-449e-bb21-39d1a415f350",
}
MESSAGE_SENDER = "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a"
TEXT = (INFRA / "modules" / "roles.bicep").read_text("utf-8")


def test_the_app_has_exactly_these_roles_on_exactly_these_scopes() -> None:
    """Each given once, under the id that Microsoft published for it."""
    names = {
        key: (guid, name) for key, guid, name in re.findall(r"^  (\w+): '([0-9a-f-]{36})' // (.+)$", TEXT, re.MULTILINE)
    }
    given = re.findall(r"scope: ([\w\[\]]+)\n\s+name: guid\([\w\[\]]+\.id, principalId, roles\.(\w+)\)", TEXT)

    assert {name: guid for guid, name in names.values()} == GUIDS
    assert {names[role][1]: scope for scope, role in given} == {name: need[0] for name, need in NEEDED_BY.items()}
    assert len(given) == len(GUIDS)
    assert TEXT.count("roleDefinitionId:") == len(GUIDS)


def test_every_role_has_the_call_that_needs_it() -> None:
    """When the call goes, the role goes."""
    idle = [role for role, (_, file, call) in NEEDED_BY.items() if call not in (ROOT / file).read_text("utf-8")]

    assert idle == []


def test_roles_are_given_in_two_files_only() -> None:
    """The app's in one; Event Grid's, which may write into one queue and one container, with its topic."""
    giving = {file.name for file in FILES if "roleAssignments@" in file.read_text("utf-8")}
    events = (INFRA / "modules" / "mail-events.bicep").read_text("utf-8")

    assert giving == {"roles.bicep", "mail-events.bicep"}
    assert re.findall(
        r"roleAssignments@[\d-]+' = \{\n  scope: (\w+)\n  name: guid\(\w+\.id, topic\.id, (\w+)\)", events
    ) == [
        ("queue", "messageSender"),
        ("undelivered", "blobDataContributor"),
    ]
    assert events.count("roleAssignments@") == 2
    assert f"var messageSender = '{MESSAGE_SENDER}'" in events
    assert f"var blobDataContributor = '{GUIDS['Storage Blob Data Contributor']}'" in events
