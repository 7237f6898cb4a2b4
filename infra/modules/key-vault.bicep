// The vault with the secrets that sign links and cursors. The operator puts the password of a mail server into the vault
// by hand. Otherwise the settings of azd and the record of the deployment would hold the password.

@description('Name of the vault.')
@minLength(3)
@maxLength(24)
param name string

@description('Region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Workspace for the audit log. It says who read which secret at what time.')
param workspaceId string

@description('The first link secret, a random text. The operator makes later secrets, as docs/deploying.md says.')
@minLength(32)
@secure()
// checkov:skip=CKV_AZURE_131: each deployment makes a random text, and stores it only if the vault has no secret yet
param firstLinkSecret string = '${newGuid()}${newGuid()}'

@description('The instant until which the operator should replace the first link secret.')
param firstLinkSecretExpires string = dateTimeAdd(utcNow(), 'P1Y')

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    enablePurgeProtection: true
    softDeleteRetentionInDays: 90
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: 'Allow'
    }
  }
}

// The secret is written only if there is none. A deployment must not undo a rotation, because mailed links would become
// invalid.
@onlyIfNotExists()
resource linkSecrets 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = {
  parent: vault
  name: 'link-secrets'
  properties: {
    value: firstLinkSecret
    contentType: 'one or two secrets, newest first, a comma between'
    attributes: {
      enabled: true
      exp: dateTimeToEpoch(firstLinkSecretExpires)
    }
  }
}

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: vault
  name: 'audit'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        categoryGroup: 'audit'
        enabled: true
      }
    ]
  }
}

output name string = vault.name
output linkSecretsUri string = '${vault.properties.vaultUri}secrets/link-secrets'
output smtpPasswordUri string = '${vault.properties.vaultUri}secrets/smtp-password'
