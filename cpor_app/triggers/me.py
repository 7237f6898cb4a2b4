"""The caller's own identity and registration."""

from cpor_app.http.request import Call
from cpor_app.http.route_table import ANY_TOKEN, CUSTOMER_ADMIN, Answer
from cpor_app.http.server import operation
from cpor_app.triggers.registry import CustomerView, customer_view
from cpor_core.model.base import Guid, PartnerId, Slug, Value
from cpor_core.model.caller import CallerKind, Role
from cpor_core.model.registry import Country
from cpor_core.use_cases.registry.partners_and_customers import locations


class Location(Value):
    """A location of the caller's organisation."""

    partner_id: PartnerId
    name: str
    country: Country
    enrolled_engagements: tuple[Slug, ...]


class OwnPartner(Value):
    """The caller's organisation as a partner."""

    organisation: Guid
    locations: tuple[Location, ...]


class Me(Value):
    """The caller as the service sees it."""

    tenant_id: Guid
    object_id: Guid
    kind: CallerKind
    roles: tuple[Role, ...]
    partner: OwnPartner | None
    customer: CustomerView | None


@operation(
    summary="The caller: roles, and the registration of the caller's organisation",
    tag="Registry",
    roles=ANY_TOKEN,
    answers={200: Me},
)
async def get_me(call: Call) -> Answer:
    """
    `roles` has the roles that count in the caller's tenant. `partner` has the locations of the organisation, and is
    null if no location is registered.

    `customer` is the registered entry of the caller's tenant. It is null without the role `Customer.Admin`, and if the
    tenant is not registered.
    """
    found = await locations(call.ports, call.organisation)
    own = tuple(
        Location(
            partner_id=partner_id,
            name=partner.name,
            country=partner.country,
            enrolled_engagements=partner.enrolled_engagements,
        )
        for partner_id, partner in found
    )
    customer = await call.ports.registry.customer(call.organisation) if call.roles & CUSTOMER_ADMIN else None
    me = Me(
        tenant_id=call.organisation,
        object_id=call.person_id,
        kind=call.kind,
        roles=tuple(role for role in Role if role in call.roles),
        partner=OwnPartner(organisation=call.organisation, locations=own) if own else None,
        customer=customer_view(call, customer.value) if customer is not None else None,
    )
    return Answer(200, me)
