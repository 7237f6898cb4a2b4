"""The change feed: every change of an organisation's claims and associations since a cursor."""

from pydantic import Field

from cpor_app.http.request import Call
from cpor_app.http.route_table import PARTNER, Answer
from cpor_app.http.server import operation
from cpor_core.errors import Refused
from cpor_core.model.base import Value
from cpor_core.model.change import Change
from cpor_core.use_cases.feed import changes


class ListedChanges(Value):
    """The next changes, oldest first."""

    value: tuple[Change, ...]
    cursor: str = Field(description="Send it with the next call, even if `value` is empty.")


@operation(
    summary="The changes since the cursor",
    tag="Changes",
    roles=PARTNER,
    answers={200: ListedChanges},
    paged=True,
    refusals=("CursorExpired",),
)
async def list_changes(call: Call) -> Answer:
    """
    The list has every change of your claims and associations, once and in order. The creation of a draft is a change
    too.

    Without a cursor the list begins with the oldest stored change. Changes are kept for 400 days.
    """
    after, limit = call.page()
    page = await changes.read(call.ports, call.organisation, after=int(after) if after else None, limit=limit)
    if page is None:
        raise Refused(
            "CursorExpired",
            "Changes after this cursor are no longer kept.",
            target="cursor",
            resolution="Read your claims and associations once, then begin without a cursor.",
        )
    return Answer(200, ListedChanges(value=tuple(page.changes), cursor=call.cursor(str(page.last))))
