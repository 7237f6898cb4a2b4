// The alerts, from infra/alerts.json: each is a question to the logs about a line that our code writes. A rule with
// `LessThan` fires on no rows at all: it tells that something has stopped, not that something went wrong.

@description('Region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Name of the group of people who are told.')
param actionGroupName string

@description('Who is told of an alert.')
param email string

@description('Workspace whose logs are asked.')
param workspaceId string

@description('What every alert\'s name begins with.')
param namePrefix string

var alerts = loadJsonContent('../alerts.json')

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: actionGroupName
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'cpor'
    emailReceivers: [
      {
        name: 'operator'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource rules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for alert in alerts: {
    name: '${namePrefix}${alert.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: alert.title
      description: alert.meaning
      severity: alert.severity
      enabled: true
      scopes: [
        workspaceId
      ]
      evaluationFrequency: alert.every
      windowSize: alert.window
      autoMitigate: true
      // The tables are made by the first row that is sent, after this deployment.
      skipQueryValidation: true
      criteria: {
        allOf: [
          {
            query: alert.query
            timeAggregation: 'Count'
            operator: alert.operator
            threshold: alert.threshold
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      actions: {
        actionGroups: [
          people.id
        ]
      }
    }
  }
]
