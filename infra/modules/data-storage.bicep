// The data account with every table, queue and container of the service. In the cloud only this file creates them, so a
// test compares the names with the names in the code.

@description('Name of the account.')
@minLength(3)
@maxLength(24)
param name string

@description('Region.')
param location string

@description('Tags of every resource.')
param tags object

@description('How the account is replicated.')
param redundancy string = 'Standard_GRS'

@description('Days for which deleted evidence can be brought back. The privacy page names this number.')
@minValue(14)
@maxValue(14)
param softDeleteDays int = 14

@description('Whether Microsoft Defender for Storage scans evidence for malware after each upload.')
param scanEvidence bool = false

var tableNames = [
  'claims'
  'duework'
  'partnerclaims'
  'reviews'
  'requests'
  'mails'
  'registry'
  'usage'
  'receipts'
  'changes'
  'webhooks'
  'batches'
  'failures'
  'programme'
  'settings'
]

var queueNames = [
  'customer-notices'
  'mail-events'
  'partner-notices'
  'claim-batches'
  'due-pages'
]

var containerNames = [
  'evidence'
  'batches'
]

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: redundancy
  }
  properties: {
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    allowCrossTenantReplication: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    encryption: {
      keySource: 'Microsoft.Storage'
      requireInfrastructureEncryption: true
    }
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: 'Allow'
    }
  }
}

resource defender 'Microsoft.Security/defenderForStorageSettings@2025-06-01' = if (scanEvidence) {
  scope: account
  name: 'current'
  properties: {
    isEnabled: true
    overrideSubscriptionLevelSettings: true
    malwareScanning: {
      onUpload: {
        isEnabled: true
        // This limits the cost. Files beyond the limit are not scanned. Defender raises one alert before the limit is
        // reached, and one when it is reached.
        capGBPerMonth: 1000
        filters: {
          excludeBlobsWithPrefix: [
            'batches/' // JSON lines, which nobody can download, and CSV that the service writes
          ]
        }
      }
    }
    sensitiveDataDiscovery: {
      isEnabled: false
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' = {
  parent: account
  name: 'default'
  properties: {
    // Blobs have no versions. Versions of a deleted blob would stay for ever, and personal data would not be erased.
    isVersioningEnabled: false
    deleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
  }
}

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = [
  for containerName in containerNames: {
    parent: blobs
    name: containerName
    properties: {
      publicAccess: 'None'
    }
  }
]

resource queues 'Microsoft.Storage/storageAccounts/queueServices@2024-01-01' = {
  parent: account
  name: 'default'
}

resource workQueues 'Microsoft.Storage/storageAccounts/queueServices/queues@2024-01-01' = [
  for queueName in queueNames: {
    parent: queues
    name: queueName
  }
]

resource poisonQueues 'Microsoft.Storage/storageAccounts/queueServices/queues@2024-01-01' = [
  for queueName in queueNames: {
    parent: queues
    name: '${queueName}-poison'
  }
]

resource tables 'Microsoft.Storage/storageAccounts/tableServices@2024-01-01' = {
  parent: account
  name: 'default'
}

resource everyTable 'Microsoft.Storage/storageAccounts/tableServices/tables@2024-01-01' = [
  for tableName in tableNames: {
    parent: tables
    name: tableName
  }
]

output name string = account.name
output tableEndpoint string = account.properties.primaryEndpoints.table
output queueEndpoint string = account.properties.primaryEndpoints.queue
output blobEndpoint string = account.properties.primaryEndpoints.blob
output containerNames array = containerNames
