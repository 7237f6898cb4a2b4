// The app registration. An administrator of the programme's directory deploys it once, before the service, because
// `azd up` has no rights in the directory. The service needs the client id of the registration:
//
//     az deployment sub create --location <region> --template-file infra/entra/main.bicep

targetScope = 'subscription'

extension microsoftGraphV1

@description('Name by which Entra finds the registration at the next deployment. Never change it.')
@minLength(1)
param uniqueName string = 'cpor'

@description('Name that administrators of partners and customers see when they consent.')
@minLength(1)
param displayName string = 'Claiming partner of record'

@description('Address to which a browser returns after consent, such as the page /api/docs. Empty: none.')
param consentReturnUrl string = ''

// These ids must never change, because every tenant that has consented stores them.
var consentReturnUrls = empty(consentReturnUrl) ? [] : [consentReturnUrl]
var everybody = [
  'User'
  'Application'
]
var roles = [
  {
    id: '5c1b1e0a-6d0f-4b5c-9a1c-2f7c3c1d0a01'
    value: 'Incentives.Admin'
    displayName: 'Incentives administrator'
    description: 'Claims for the partner, submits claims and ends associations.'
  }
  {
    id: '5c1b1e0a-6d0f-4b5c-9a1c-2f7c3c1d0a02'
    value: 'Incentives.User'
    displayName: 'Incentives user'
    description: 'Prepares claims for the partner and reads them.'
  }
  {
    id: '5c1b1e0a-6d0f-4b5c-9a1c-2f7c3c1d0a03'
    value: 'Program.Reviewer'
    displayName: 'Programme reviewer'
    description: 'Reviews claims. Counts in the programme\'s own tenant only.'
  }
  {
    id: '5c1b1e0a-6d0f-4b5c-9a1c-2f7c3c1d0a04'
    value: 'Program.Operator'
    displayName: 'Programme operator'
    description: 'Runs the service and keeps its registry. Counts in the programme\'s own tenant only.'
  }
  {
    id: '5c1b1e0a-6d0f-4b5c-9a1c-2f7c3c1d0a05'
    value: 'Mail.Events'
    displayName: 'Mail system'
    description: 'Reports what became of mails. Counts in the programme\'s own tenant only.'
  }
  {
    id: '5c1b1e0a-6d0f-4b5c-9a1c-2f7c3c1d0a06'
    value: 'Customer.Admin'
    displayName: 'Customer administrator'
    description: 'Sees and answers the requests about their own tenant.'
  }
  {
    id: '5c1b1e0a-6d0f-4b5c-9a1c-2f7c3c1d0a07'
    value: 'Program.Reader'
    displayName: 'Programme reader'
    description: 'Reads what has no personal data. Counts in the programme\'s own tenant only.'
  }
]
var appRoles = [
  for role in roles: {
    id: role.id
    value: role.value
    displayName: role.displayName
    description: role.description
    allowedMemberTypes: everybody
    isEnabled: true
  }
]

resource registration 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: uniqueName
  displayName: displayName
  // People of partners and customers sign in with work accounts of their own directories. Personal accounts cannot sign in.
  signInAudience: 'AzureADMultipleOrgs'
  // The address of admin consent works only with a redirect address. Nothing is sent to that page.
  web: {
    redirectUris: consentReturnUrls
  }
  api: {
    requestedAccessTokenVersion: 2
    oauth2PermissionScopes: [
      {
        id: '5c1b1e0a-6d0f-4b5c-9a1c-2f7c3c1d0a10'
        value: 'access'
        type: 'User'
        isEnabled: true
        adminConsentDisplayName: 'Claim, review and answer in the person\'s name'
        adminConsentDescription: 'Lets an application call the service as the person who is signed in, with that person\'s roles.'
        userConsentDisplayName: 'Claim, review and answer in your name'
        userConsentDescription: 'Lets an application call the service as you, with your roles.'
      }
    ]
  }
  appRoles: appRoles
  optionalClaims: {
    // An application's own token then has the claim `idtyp` with the value `app`. The service refuses a token without it.
    accessToken: [
      {
        name: 'idtyp'
        essential: false
      }
    ]
  }
}

// Entra gives no token at all to a user or application without a role.
resource principal 'Microsoft.Graph/servicePrincipals@v1.0' = {
  appId: registration.appId
  appRoleAssignmentRequired: true
}

output clientId string = registration.appId
output principalId string = principal.id
