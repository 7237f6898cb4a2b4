// What opens a customer's page stands behind `t=` in an address. The app and the host do not log queries; should anything
// else do so, no row that bears one is kept as it came.

@description('Name of the rule.')
param name string

@description('Region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Workspace whose rows go through the rule.')
param workspaceId string

var columns = [
  {
    table: 'AppRequests'
    masked: 'Url = replace_regex(Url, @"([?&]t=)[^&\\s""]*", @"\\1***"), Name = replace_regex(Name, @"([?&]t=)[^&\\s""]*", @"\\1***")'
  }
  {
    table: 'AppDependencies'
    masked: 'Data = replace_regex(Data, @"([?&]t=)[^&\\s""]*", @"\\1***"), Name = replace_regex(Name, @"([?&]t=)[^&\\s""]*", @"\\1***")'
  }
  {
    table: 'AppTraces'
    masked: 'Message = replace_regex(Message, @"([?&]t=)[^&\\s""]*", @"\\1***")'
  }
]

// What OpenTelemetry knows besides (url.full, url.query) is an object: masked as text, and read again.
var properties = 'Properties = parse_json(replace_regex(tostring(Properties), @"([?&""]t=)[^&\\s""]*", @"\\1***"))'

resource rule 'Microsoft.Insights/dataCollectionRules@2023-03-11' = {
  name: name
  location: location
  tags: tags
  kind: 'WorkspaceTransforms'
  properties: {
    description: 'Masks what follows t= in addresses'
    dataSources: {}
    destinations: {
      logAnalytics: [
        {
          name: 'workspace'
          workspaceResourceId: workspaceId
        }
      ]
    }
    dataFlows: [
      for column in columns: {
        streams: [
          'Microsoft-Table-${column.table}'
        ]
        destinations: [
          'workspace'
        ]
        transformKql: 'source | extend ${column.masked}, ${properties}'
      }
    ]
  }
}

output id string = rule.id
