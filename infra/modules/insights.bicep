// Application Insights, which stores its data in the workspace. Nobody can write to it with a key.

@description('Name of the component.')
param name string

@description('Region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Workspace that stores the telemetry.')
param workspaceId string

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: name
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspaceId
    DisableLocalAuth: true
    DisableIpMasking: false
    publicNetworkAccessForIngestion: 'Enabled'
    publicNetworkAccessForQuery: 'Enabled'
  }
}

output id string = component.id
output name string = component.name
output connectionString string = component.properties.ConnectionString
