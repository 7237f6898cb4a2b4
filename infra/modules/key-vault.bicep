// The vault, with the secrets that sign links and cursors. The operator puts the password of a mail server into it by
// hand. Otherwise the settings of azd and the record of the deployment would hold the password.

@description('Name of the vault.')
@minLength(3)
@maxLength(24)
param name string

@description('Region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Workspace with the audit log: who read which secret when.')
param workspaceId string

@description('The first link secret, drawn at the first deployment. Later ones are the operator\'s: see docs/deploying.md.')
@minLength(32)
@secure()
// checkov:skip=CKV_AZURE_131: drawn anew at each deployment, and written only when there is none
param firstLinkSecret string = '${newGuid()}${newGuid()}'

@description('When the first link secret should have been replaced.')
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

// Only when there is none: a deployment must not undo a rotation, and must not make every mailed link invalid.
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
