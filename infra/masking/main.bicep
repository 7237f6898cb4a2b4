// The token that opens a customer's page follows `t=` in an address. The app and the host do not log the query of an
// address. If another part logs it, this rule cuts the token off before the row is stored. The rule is a separate
// template, so nothing else changes if it fails. docs/deploying.md explains it.

@description('Name of the workspace. The rule changes its rows.')
@minLength(4)
@maxLength(63)
param workspaceName string

var abbreviations = loadJsonContent('../abbreviations.json')

// A transformation cannot use `replace_regex`. So the text after the first `t=` is cut off.
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

// Further attributes of OpenTelemetry (url.full, url.query) are in one object. If it contains `t=`, the object is not stored.
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
