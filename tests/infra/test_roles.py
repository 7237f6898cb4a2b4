"""The app has the roles that its code needs, and no other role."""

import re
from collections.abc import Mapping

from tests.infra.bicep import FILES, INFRA, ROOT

# Each role of the app, by Microsoft's name for the role: its scope, a file, and the code there that fails without it.
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
    """Each role is assigned once, and its id is the id that Microsoft has published."""
    names = {
        key: (guid, name) for key, guid, name in re.findall(r"^  (\w+): '([0-9a-f-]{36})' // (.+)$", TEXT, re.MULTILINE)
    }
    assigned = re.findall(r"scope: ([\w\[\]]+)\n\s+name: guid\([\w\[\]]+\.id, principalId, roles\.(\w+)\)", TEXT)

    assert {name: guid for guid, name in names.values()} == GUIDS
    scopes = {name: scope for name, (scope, _, _) in NEEDED_BY.items()}
    assert {names[role][1]: scope for scope, role in assigned} == scopes
    assert len(assigned) == len(GUIDS)
    assert TEXT.count("roleDefinitionId:") == len(GUIDS)


def test_the_code_still_needs_each_role() -> None:
    """If the code that needs a role is removed, the role must be removed too."""
    unneeded = [role for role, (_, file, call) in NEEDED_BY.items() if call not in (ROOT / file).read_text("utf-8")]

    assert unneeded == []


def test_roles_are_assigned_in_two_files_only() -> None:
    """One file assigns the app's roles. The other assigns Event Grid's: it may write to one queue and one container."""
    files = {file.name for file in FILES if "roleAssignments@" in file.read_text("utf-8")}
    events = (INFRA / "modules" / "mail-events.bicep").read_text("utf-8")

    assert files == {"roles.bicep", "mail-events.bicep"}
    assert re.findall(
        r"roleAssignments@[\d-]+' = \{\n  scope: (\w+)\n  name: guid\(\w+\.id, topic\.id, (\w+)\)", events
    ) == [
        ("queue", "messageSender"),
        ("undelivered", "blobDataContributor"),
    ]
    assert events.count("roleAssignments@") == 2
    assert f"var messageSender = '{MESSAGE_SENDER}'" in events
    assert f"var blobDataContributor = '{GUIDS['Storage Blob Data Contributor']}'" in events
