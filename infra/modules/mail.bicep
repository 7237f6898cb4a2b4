// Azure Communication Services, which sends mails, and the sender's domain. The programme's own domain can be linked
// only after Azure has verified the DNS records. Until then mails come from a domain of Azure.

@description('Name of the communication service.')
param name string

@description('Name of the mail service.')
param emailServiceName string

@description('Tags of every resource.')
param tags object

@description('Geography in which mails and their data are stored.')
param dataLocation string

@description('Domain of the sender\'s address. Empty: a domain of Azure, which has a small quota.')
param domain string

@description('Whether the DNS records of the domain are set and verified.')
param domainVerified bool

@description('The part before the @ of the sender\'s address, on your own domain.')
@minLength(1)
@maxLength(64)
param sender string

@description('The name that mail programs show for the sender.')
param senderDisplayName string

var ownDomain = !empty(domain)

resource emailService 'Microsoft.Communication/emailServices@2025-09-01' = {
  name: emailServiceName
  location: 'global'
  tags: tags
  properties: {
    dataLocation: dataLocation
  }
}

// User engagement tracking is off, because it rewrites links.
resource azureDomain 'Microsoft.Communication/emailServices/domains@2025-09-01' = {
  parent: emailService
  name: 'AzureManagedDomain'
  location: 'global'
  tags: tags
  properties: {
    domainManagement: 'AzureManaged'
    userEngagementTracking: 'Disabled'
  }
}

resource programmeDomain 'Microsoft.Communication/emailServices/domains@2025-09-01' = if (ownDomain) {
  parent: emailService
  name: ownDomain ? domain : 'none'
  location: 'global'
  tags: tags
  properties: {
    domainManagement: 'CustomerManaged'
    userEngagementTracking: 'Disabled'
  }
}

resource senderName 'Microsoft.Communication/emailServices/domains/senderUsernames@2025-09-01' = if (ownDomain && domainVerified) {
  parent: programmeDomain
  name: sender
  properties: {
    username: sender
    displayName: senderDisplayName
  }
}

resource service 'Microsoft.Communication/communicationServices@2025-09-01' = {
  name: name
  location: 'global'
  tags: tags
  properties: {
    dataLocation: dataLocation
    disableLocalAuth: true
    publicNetworkAccess: 'Enabled'
    linkedDomains: [
      ownDomain && domainVerified ? programmeDomain.id : azureDomain.id
    ]
  }
}

output id string = service.id
output name string = service.name
output endpoint string = 'https://${service.properties.hostName}'
output fromAddress string = ownDomain && domainVerified ? '${sender}@${domain}' : 'donotreply@${azureDomain.properties.mailFromSenderDomain}'
