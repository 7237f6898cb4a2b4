// The whole service in its own resource group, for `azd up`. docs/deploying.md explains it.

targetScope = 'subscription'

// One usage report of the largest size fills 512 MB. docs/operating.md has the measurement.
type memory = 2048 | 4096
type redundancy = 'Standard_LRS' | 'Standard_ZRS' | 'Standard_GRS' | 'Standard_RAGRS' | 'Standard_GZRS' | 'Standard_RAGZRS'

// --------------------------------------------------------------------------------------------------------- where

@description('Name of the azd environment. It is a part of every resource\'s name.')
@minLength(1)
@maxLength(40)
param environmentName string

@description('Region of every resource that has a region. The next two parameters decide where else data is stored.')
@minLength(1)
param location string

@description('Geography in which Communication Services stores mails and their data. It does not depend on the region.')
@minLength(1)
param mailDataLocation string = 'Europe'

@description('How the data account is replicated. GRS, RAGRS, GZRS and RAGZRS copy all data into the paired region.')
param dataRedundancy redundancy = 'Standard_GRS'

@description('Whether Microsoft Defender for Storage scans new evidence for malware. Each gigabyte costs money.')
param scanEvidence bool = false

@description('Days for which logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 90

@description('Id of the rule that infra/masking made. It changes each row of the logs. Empty: no rule.')
param maskingRule string = ''

@description('Mail address that gets the alerts.')
@minLength(3)
param alertEmail string

// ------------------------------------------------------------------------------------------------------- scaling

@description('Memory of an instance, in MiB.')
param instanceMemoryMB memory = 2048

@description('The largest number of instances.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('HTTP requests that one instance processes at the same time. The platform\'s default for Python is one.')
@minValue(1)
@maxValue(1000)
param httpPerInstanceConcurrency int = 20

@description('Instances that are always ready and always cost money: a list of objects with name (http, or function:<name>) and instanceCount.')
param alwaysReady array = []

@description('When the timer runs. The cron expression has six fields, and the first field is the seconds.')
@minLength(11)
param finaliseSchedule string = '0 * * * * *'

// ------------------------------------------------------------------------------------------------------- address

@description('The programme\'s own domain. Empty: a host name of Azure. A link to a shared domain looks like phishing.')
param publicDomain string = ''

@description('Whether requests come through Azure Front Door. The app then answers only Front Door.')
param useFrontDoor bool = false

// ---------------------------------------------------------------------------------------------------------- mail

@description('Domain of the sender\'s address. Empty: a domain of Azure, which can send 5 mails per minute.')
param mailDomain string = ''

@description('Whether the DNS records of the mail domain are set and verified by Azure.')
param mailDomainVerified bool = false

@description('The part before the @ of the sender\'s address, on your own domain.')
@minLength(1)
@maxLength(64)
param mailSender string = 'no-reply'

@description('The name that mail programs show for the sender.')
@minLength(1)
param mailSenderName string = 'Claiming partner of record'

@description('Mails per minute. 0: Azure\'s first limit for the sender\'s domain, or no limit with SMTP.')
@minValue(0)
param mailPerMinute int = 0

@description('Mails per hour. 0: Azure\'s first limit for the sender\'s domain, or no limit with SMTP.')
@minValue(0)
param mailPerHour int = 0

@description('Address of the sender, if mails go by SMTP.')
param smtpFrom string = ''

@description('Host name of the SMTP server. Empty: mails go by Communication Services.')
param smtpHost string = ''

@description('Port of the SMTP server.')
@minValue(1)
@maxValue(65535)
param smtpPort int = 587

@description('User name at the SMTP server. The password is the secret smtp-password in the vault. Empty: no log-in.')
param smtpUsername string = ''

// ----------------------------------------------------------------------------------------------------- programme

@description('The Entra tenant in which the roles of the programme count.')
@minLength(36)
@maxLength(36)
param programmeTenant string

@description('The client id of the app registration that infra/entra made.')
@minLength(36)
@maxLength(36)
param tokenAudience string

@description('The programme\'s country. The reviewers\' time limits do not count that country\'s holidays.')
@minLength(2)
@maxLength(2)
param programmeCountry string = 'US'

@description('The time zone that decides when a day of the programme ends, as an IANA name.')
@minLength(1)
param programmeTimeZone string = 'UTC'

@description('Business days in which a reviewer must start a review.')
@minValue(1)
@maxValue(60)
param startReviewBusinessDays int = 5

@description('Business days in which a reviewer must decide.')
@minValue(1)
@maxValue(60)
param decideBusinessDays int = 5

@description('Business days in which the partner must answer a reviewer.')
@minValue(1)
@maxValue(60)
param partnerAnswerBusinessDays int = 5

@description('Days after which a draft that nobody submits is deleted.')
@minValue(1)
@maxValue(3650)
param draftDays int = 90

@description('Months after which the personal data of a closed claim is deleted.')
@minValue(1)
@maxValue(240)
param retentionMonths int = 24

@description('The percentage of automatically reviewed claims that GET /reviews?sample=true shows.')
@minValue(0)
@maxValue(100)
param samplePercent int = 10

@description('An import takes an association of an engagement that can be claimed only if it began before this instant or day. Empty: no such association.')
@maxLength(35)
param importsBefore string = ''

@description('Dry runs that an organisation can make per hour.')
@minValue(1)
param dryRunsPerHour int = 100

@description('Whether the registration of a customer asks Entra if the domains belong to the tenant.')
param domainCheck bool = false

@description('Writes per second that one instance accepts from one organisation. 0: no limit.')
@minValue(0)
param writesPerSecond int = 50

// ------------------------------------------------------------------------------------------------------- names

var abbreviations = loadJsonContent('abbreviations.json')
var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = {
  'azd-env-name': environmentName
}
var appName = '${abbreviations.functionApps}${token}'
var bySmtp = !empty(smtpHost)

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: '${abbreviations.resourceGroups}${environmentName}'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: '${abbreviations.userAssignedIdentities}${token}'
    location: location
    tags: tags
  }
}

module hostStorage 'modules/host-storage.bicep' = {
  name: 'host-storage'
  scope: group
  params: {
    name: '${abbreviations.storageAccounts}host${token}'
    location: location
    tags: tags
  }
}

module dataStorage 'modules/data-storage.bicep' = {
  name: 'data-storage'
  scope: group
  params: {
    name: '${abbreviations.storageAccounts}data${token}'
    location: location
    tags: tags
    redundancy: dataRedundancy
    scanEvidence: scanEvidence
  }
}

module workspace 'modules/workspace.bicep' = {
  name: 'workspace'
  scope: group
  params: {
    name: '${abbreviations.operationalInsightsWorkspaces}${token}'
    location: location
    tags: tags
    retentionDays: logRetentionDays
    ruleId: maskingRule
  }
}

module insights 'modules/insights.bicep' = {
  name: 'insights'
  scope: group
  params: {
    name: '${abbreviations.insightsComponents}${token}'
    location: location
    tags: tags
    workspaceId: workspace.outputs.id
  }
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    location: location
    tags: tags
    actionGroupName: '${abbreviations.actionGroups}${token}'
    email: alertEmail
    workspaceId: workspace.outputs.id
    mailTopicId: mailEvents.outputs.id
    namePrefix: 'cpor-${environmentName}-'
  }
}

module keyVault 'modules/key-vault.bicep' = {
  name: 'key-vault'
  scope: group
  params: {
    name: '${abbreviations.keyVaults}${token}'
    location: location
    tags: tags
    workspaceId: workspace.outputs.id
  }
}

module mail 'modules/mail.bicep' = {
  name: 'mail'
  scope: group
  params: {
    name: '${abbreviations.communicationServices}${token}'
    emailServiceName: '${abbreviations.emailServices}${token}'
    tags: tags
    dataLocation: mailDataLocation
    domain: mailDomain
    domainVerified: mailDomainVerified
    sender: mailSender
    senderDisplayName: mailSenderName
  }
}

module mailEvents 'modules/mail-events.bicep' = {
  name: 'mail-events'
  scope: group
  params: {
    name: '${abbreviations.eventGridSystemTopics}${token}'
    tags: tags
    communicationServiceId: mail.outputs.id
    dataAccountName: dataStorage.outputs.name
  }
}

module roles 'modules/roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    principalId: identity.outputs.principalId
    hostAccountName: hostStorage.outputs.name
    dataAccountName: dataStorage.outputs.name
    containerNames: dataStorage.outputs.containerNames
    insightsName: insights.outputs.name
    vaultName: keyVault.outputs.name
    communicationServiceName: mail.outputs.name
  }
}

module frontDoor 'modules/front-door.bicep' = if (useFrontDoor) {
  name: 'front-door'
  scope: group
  params: {
    name: '${abbreviations.frontDoorProfiles}${token}'
    endpointName: '${abbreviations.frontDoorEndpoints}${token}'
    tags: tags
  }
}

var azureHost = useFrontDoor ? (frontDoor.?outputs.hostName ?? '') : '${appName}.azurewebsites.net'
var publicUrl = 'https://${empty(publicDomain) ? azureHost : publicDomain}/api'

// Every setting of cpor_app/settings.py that is used in the cloud. A test compares the two lists.
var settings = {
  CPOR_PUBLIC_URL: publicUrl
  CPOR_PROGRAMME_TENANT: toLower(programmeTenant)
  CPOR_PROGRAMME_COUNTRY: programmeCountry
  CPOR_PROGRAMME_TIME_ZONE: programmeTimeZone
  CPOR_START_REVIEW_BUSINESS_DAYS: string(startReviewBusinessDays)
  CPOR_DECIDE_BUSINESS_DAYS: string(decideBusinessDays)
  CPOR_PARTNER_ANSWER_BUSINESS_DAYS: string(partnerAnswerBusinessDays)
  CPOR_DRAFT_DAYS: string(draftDays)
  CPOR_RETENTION_MONTHS: string(retentionMonths)
  CPOR_SAMPLE_PERCENT: string(samplePercent)
  CPOR_DRY_RUNS_PER_HOUR: string(dryRunsPerHour)
  CPOR_IMPORTS_BEFORE: importsBefore
  CPOR_WRITES_PER_SECOND: string(writesPerSecond)
  CPOR_TOKEN_AUDIENCE: toLower(tokenAudience)
  CPOR_DOMAIN_CHECK: domainCheck ? '1' : '0'
  CPOR_LINK_SECRETS: '@Microsoft.KeyVault(SecretUri=${keyVault.outputs.linkSecretsUri})'
  CPOR_MAIL_FROM: bySmtp ? smtpFrom : mail.outputs.fromAddress
  // An empty setting counts as not set.
  CPOR_MAIL_ENDPOINT: bySmtp ? '' : mail.outputs.endpoint
  CPOR_MAIL_PER_MINUTE: mailPerMinute == 0 ? '' : string(mailPerMinute)
  CPOR_MAIL_PER_HOUR: mailPerHour == 0 ? '' : string(mailPerHour)
  CPOR_STORAGE__tableServiceUri: dataStorage.outputs.tableEndpoint
  CPOR_STORAGE__queueServiceUri: dataStorage.outputs.queueEndpoint
  CPOR_STORAGE__blobServiceUri: dataStorage.outputs.blobEndpoint
  CPOR_STORAGE__credential: 'managedidentity'
  CPOR_STORAGE__clientId: identity.outputs.clientId
  FINALISE_SCHEDULE: finaliseSchedule
  // Time zones come from the Python package, so every instance and every developer's machine has the same data.
  PYTHONTZPATH: '/home/site/wwwroot/.python_packages/lib/site-packages/tzdata/zoneinfo'
  // No package of ours is a plugin of pydantic. Otherwise pydantic reads the metadata of every package at the start.
  PYDANTIC_DISABLE_PLUGINS: '__all__'
  // The Azure SDK's own spans are off, because they hold keys of rows and names of blobs.
  AZURE_TRACING_ENABLED: 'false'
  // Otherwise the exporter sends statistics to Microsoft, gets its configuration from there, and adds rows to our logs.
  APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL: 'true'
  APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED: 'true'
  APPLICATIONINSIGHTS_SDKSTATS_DISABLED: 'true'
}
var smtpLogin = empty(smtpUsername) ? {} : {
  CPOR_SMTP_USERNAME: smtpUsername
  CPOR_SMTP_PASSWORD: '@Microsoft.KeyVault(SecretUri=${keyVault.outputs.smtpPasswordUri})'
}
var smtpServer = {
  CPOR_SMTP_HOST: smtpHost
  CPOR_SMTP_PORT: string(smtpPort)
}
var smtpSettings = bySmtp ? union(smtpServer, smtpLogin) : {}

module functionApp 'modules/function-app.bicep' = {
  name: 'function-app'
  scope: group
  dependsOn: [
    roles
  ]
  params: {
    name: appName
    planName: '${abbreviations.serverFarms}${token}'
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    hostBlobEndpoint: hostStorage.outputs.blobEndpoint
    packagesUrl: hostStorage.outputs.packagesUrl
    insightsConnectionString: insights.outputs.connectionString
    settings: union(settings, smtpSettings)
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    httpPerInstanceConcurrency: httpPerInstanceConcurrency
    alwaysReady: alwaysReady
    frontDoorId: frontDoor.?outputs.frontDoorId ?? ''
  }
}

module frontDoorRoute 'modules/front-door-route.bicep' = if (useFrontDoor) {
  name: 'front-door-route'
  scope: group
  params: {
    profileName: frontDoor.?outputs.profileName ?? ''
    endpointName: frontDoor.?outputs.endpointName ?? ''
    appHostName: functionApp.outputs.hostName
    domain: publicDomain
  }
}

output AZURE_LOCATION string = location
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_FUNCTION_APP_NAME string = functionApp.outputs.name
output AZURE_LOG_WORKSPACE_NAME string = workspace.outputs.name
output AZURE_KEY_VAULT_NAME string = keyVault.outputs.name
output CPOR_PUBLIC_URL string = publicUrl
output CPOR_MAIL_FROM string = mail.outputs.fromAddress
output CPOR_MAIL_ENDPOINT string = mail.outputs.endpoint
