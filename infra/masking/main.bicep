// What opens a customer's page stands behind `t=` in an address. The app and the host do not log queries; should anything
// else do so, no row that bears one is kept as it came. A template of its own: nothing waits for it, and when it fails
// everything else stays as it is. docs/deploying.md goes through it.

@description('Name of the workspace whose rows go through the rule.')
@minLength(4)
@maxLength(63)
param workspaceName string

var abbreviations = loadJsonContent('../abbreviations.json')

// Only functions that a transformation may use: `replace_regex` is none of them. What follows the first `t=` is cut off.
var mask = 'iif(COLUMN matches regex @"[?&]t=", strcat(extract(@"^([\\s\\S]*?[?&]t=)", 1, COLUMN), "***"), COLUMN)'

var tables = [
  {
    name: 'AppRequests'
    masked: 'Url = ${replace(mask, 'COLUMN', 'Url')}, Name = ${replace(mask, 'COLUMN', 'Name')}'
  }
  {
    name: 'AppDependencies'
    masked: 'Data = ${replace(mask, 'COLUMN', 'Data')}, Name = ${replace(mask, 'COLUMN', 'Name')}'
  }
  {
    name: 'AppTraces'
    masked: 'Message = ${replace(mask, 'COLUMN', 'Message')}'
  }
]

// What OpenTelemetry knows besides (url.full, url.query) is an object: where it bears a `t=`, none of it is kept.
var properties = 'Properties = iif(tostring(Properties) matches regex @"[?&""]t=", parse_json("{}"), Properties)'

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' existing = {
  name: workspaceName
}

resource rule 'Microsoft.Insights/dataCollectionRules@2023-03-11' = {
  name: '${abbreviations.dataCollectionRules}${uniqueString(workspace.id)}'
  location: resourceGroup().location
  kind: 'WorkspaceTransforms'
  properties: {
    description: 'Masks what follows t= in addresses'
    dataSources: {}
    destinations: {
      logAnalytics: [
        {
          name: 'workspace'
          workspaceResourceId: workspace.id
        }
      ]
    }
    dataFlows: [
      for table in tables: {
        streams: [
          'Microsoft-Table-${table.name}'
        ]
        destinations: [
          'workspace'
        ]
        transformKql: 'source | extend ${table.masked}, ${properties}'
      }
    ]
  }
}

output id string = rule.id
