"""What the programme sees of all claims: the rows of the register, and the changes in the programme's feed."""

from pydantic import Field

from cpor_core.model.base import Guid, Instant, Value
from cpor_core.model.change import Change
from cpor_core.model.claim import Reason, Status
from cpor_core.model.tally import ClaimTally


class RegisterRow(Value):
    """
    One item of one association for one unbroken time: `since` ≤ instant < `until` (decision 53).

    `item` is the id of the workload or of the subscription. A workload has no `product`. The names and the country are
    those that are registered now. An association that awaits the end of its window has a row too.
    """

    association_id: str
    tenant_id: Guid
    organisation: Guid
    partner_id: str
    engagement: str
    item: str
    product: str | None = None
    since: Instant
    until: Instant | None = None
    end_reason: Reason | None = None
    open_from: Instant | None = None
    """The earliest instant at which time alone can change the row. From then on, the claim itself must be read."""
    partner_name: str = ""
    customer_name: str = ""
    country: str | None = None
    """None if the customer is not registered."""

    @property
    def key(self) -> tuple[str, str, str, str, Instant]:
        """What tells the row from other rows. The tenant and the engagement of an association never change."""
        return self.organisation, self.partner_id, self.association_id, self.item, self.since

    def covers(self, instant: Instant) -> bool:
        """Whether the partner holds the item at this instant."""
        return self.since <= instant and (self.until is None or instant < self.until)


class FollowedClaim(Value):
    """What the programme's table keeps of one claim, so that the next pass of the follower knows the difference."""

    claim_id: str
    version: int
    """The version of the claim that was followed."""
    taken: int = 0
    """The number of the newest history entry in the programme's feed."""
    passed_on: int = 0
    """The number of the newest history entry after which the other claims at the same slots were followed."""
    status: Status
    created_at: Instant
    customer_name: str = ""
    country: str | None = None
    rows: tuple[RegisterRow, ...] = ()
    competitors: tuple[str, ...] = ()
    """Which claims the feed has named as competitors of this claim. A competitor is named again after a dispute."""
    tally: ClaimTally | None = None
    """What the claim adds to the sums of insight. None before it was counted."""


class ProgrammeChange(Change):
    """One change of a claim, as the programme reads it."""

    sequence: int = Field(description="The number of the change within its feed: without gaps. It does not begin at 1.")
    type: str = Field(description="`claim.` and the act of the history entry, or `claim.competing`.")
    feed: int = Field(description="The feed of the change. There are 16 feeds. All changes of a claim are in one feed.")
    organisation: str
    tenant_id: str
    partner_id: str
