// Where logs are kept. It is deployed twice: the rule that masks them needs the workspace, and the workspace the rule.

@description('Name of the workspace.')
param name string

@description('Region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Days for which logs are kept.')
@minValue(30)
@maxValue(730)
param retentionDays int

@description('Rule that every row goes through before it is kept; empty at the first of the two deployments.')
param ruleId string = ''

var masked = empty(ruleId) ? {} : { defaultDataCollectionRuleResourceId: ruleId }

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: name
  location: location
  tags: tags
  properties: union(
    {
      sku: {
        name: 'PerGB2018'
      }
      retentionInDays: retentionDays
      features: {
        disableLocalAuth: true
        enableLogAccessUsingOnlyResourcePermissions: true
      }
      publicNetworkAccessForIngestion: 'Enabled'
      publicNetworkAccessForQuery: 'Enabled'
    },
    masked
  )
}

output id string = workspace.id
