// The alerts. Those from infra/alerts.json are each a question to the logs about a line that our code writes. A rule with
// `LessThan` fires on no rows at all: it tells that something has stopped, not that something went wrong. Those from
// infra/metric-alerts.json watch what the platform counts of the delivery of reports about mails.

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

@description('The topic that delivers reports about mails.')
param mailTopicId string

@description('What every alert\'s name begins with.')
param namePrefix string

var alerts = loadJsonContent('../alerts.json')
var metricAlerts = loadJsonContent('../metric-alerts.json')

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

resource metricRules 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for alert in metricAlerts: {
    name: '${namePrefix}${alert.name}'
    location: 'global'
    tags: tags
    properties: {
      description: '${alert.title}. ${alert.meaning}'
      severity: alert.severity
      enabled: true
      scopes: [
        mailTopicId
      ]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT1H'
      autoMitigate: true
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: alert.name
            metricNamespace: 'Microsoft.EventGrid/systemTopics'
            metricName: alert.metric
            timeAggregation: 'Total'
            operator: 'GreaterThan'
            threshold: alert.threshold
          }
        ]
      }
      actions: [
        {
          actionGroupId: people.id
        }
      ]
    }
  }
]
