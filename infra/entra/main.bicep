// The app registration, for an administrator of the programme's directory; `azd up` needs no directory rights. Deploy
// it once, before the service. The service needs its client id:
//
//     az deployment sub create --location <region> --template-file infra/entra/main.bicep

targetScope = 'subscription'

extension microsoftGraphV1

@description('Name by which Entra finds the registration again. Never change it.')
@minLength(1)
param uniqueName string = 'cpor'

@description('Name that administrators of partners and customers see when they consent.')
@minLength(1)
param displayName string = 'Claiming partner of record'

@description('Address to which a browser returns after consent, such as the page /api/docs. Empty: none.')
param consentReturnUrl string = ''

// Every tenant that has consented has these ids, so they never change.
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
  // Partners and customers sign in with their own directories; personal accounts cannot.
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
    // `app` in a token that an application got in its own name. The service refuses such a token without it.
    accessToken: [
      {
        name: 'idtyp'
        essential: false
      }
    ]
  }
}

// Without a role there is no token at all.
resource principal 'Microsoft.Graph/servicePrincipals@v1.0' = {
  appId: registration.appId
  appRoleAssignmentRequired: true
}

output clientId string = registration.appId
output principalId string = principal.id
