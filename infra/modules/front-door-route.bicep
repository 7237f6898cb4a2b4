// The route from Front Door to the app, and the programme's own domain. Nothing is cached. There is no
// access log, because it would hold the tokens of customers' links.

@description('Name of the profile.')
param profileName string

@description('Name of the endpoint.')
param endpointName string

@description('Host name of the app.')
param appHostName string

@description('The programme\'s own domain. Empty: the endpoint\'s domain.')
param domain string

var domains = empty(domain) ? [] : [{ id: ownDomain.id }]

resource profile 'Microsoft.Cdn/profiles@2024-02-01' existing = {
  name: profileName
}

resource endpoint 'Microsoft.Cdn/profiles/afdEndpoints@2024-02-01' existing = {
  parent: profile
  name: endpointName
}

resource ownDomain 'Microsoft.Cdn/profiles/customDomains@2024-02-01' = if (!empty(domain)) {
  parent: profile
  name: empty(domain) ? 'none' : replace(domain, '.', '-')
  properties: {
    hostName: domain
    tlsSettings: {
      certificateType: 'ManagedCertificate'
      minimumTlsVersion: 'TLS12'
    }
  }
}

resource group 'Microsoft.Cdn/profiles/originGroups@2024-02-01' = {
  parent: profile
  name: 'app'
  properties: {
    loadBalancingSettings: {
      sampleSize: 4
      successfulSamplesRequired: 3
      additionalLatencyInMilliseconds: 50
    }
  }
}

resource origin 'Microsoft.Cdn/profiles/originGroups/origins@2024-02-01' = {
  parent: group
  name: 'app'
  properties: {
    hostName: appHostName
    originHostHeader: appHostName
    httpPort: 80
    httpsPort: 443
    priority: 1
    weight: 1000
    enforceCertificateNameCheck: true
  }
}

resource route 'Microsoft.Cdn/profiles/afdEndpoints/routes@2024-02-01' = {
  parent: endpoint
  name: 'everything'
  dependsOn: [
    origin
  ]
  properties: {
    originGroup: {
      id: group.id
    }
    customDomains: domains
    supportedProtocols: [
      'Http'
      'Https'
    ]
    patternsToMatch: [
      '/*'
    ]
    forwardingProtocol: 'HttpsOnly'
    httpsRedirect: 'Enabled'
    linkToDefaultDomain: empty(domain) ? 'Enabled' : 'Disabled'
  }
}
