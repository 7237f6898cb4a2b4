"""Makes the table of retention periods from the constants and settings of the code."""

from cpor_app.settings import Settings
from cpor_core.due_work import RETENTION, Kind
from cpor_core.use_cases.claims.customer_acts import LINK_LIVES
from cpor_core.use_cases.privacy.erase_person import AGAIN_AFTER
from tools.pages.markdown import code, table

_OF_CLOSED_CLAIMS = (
    "contacts, recipients' addresses, revenue fields, comments and files of a claim that was finally rejected, "
    "declined, withdrawn or ended"
)


def periods() -> str:
    """Return the table: which data is deleted, and after which period."""
    default = Settings.model_fields
    days = f"{default['draft_days'].default} days ({code('CPOR_DRAFT_DAYS')})"
    months = f"{default['retention_months'].default} months ({code('CPOR_RETENTION_MONTHS')})"
    return "\n".join(
        table(
            ("what", "deleted after"),
            (
                ("drafts that nobody submits, with their files", f"{days}, counted from their creation"),
                (
                    _OF_CLOSED_CLAIMS,
                    f"{months}, counted from the close of the claim",
                ),
                (
                    "links in mails",
                    f"{LINK_LIVES.days} days, counted from the close of the claim; then a link gives 410",
                ),
                ("Message-IDs", f"{RETENTION[Kind.DELETE_MESSAGE_IDS].days} days, counted from the close of the claim"),
                (
                    "stored replies to requests with an idempotency key",
                    f"{RETENTION[Kind.DELETE_REPLY].total_seconds() / 3600:.0f} hours",
                ),
                ("batches: body, rows, outcomes", f"{RETENTION[Kind.DELETE_BATCH].days} days"),
                (
                    "large exports",
                    f"{RETENTION[Kind.DELETE_EXPORT].total_seconds() / 3600:.0f} hours, counted from the last page",
                ),
                ("deliveries of webhooks", f"{RETENTION[Kind.DELETE_DELIVERIES].days} days"),
                ("changes in the feed", f"{RETENTION[Kind.TRIM_CHANGES].days} days"),
                ("failed messages", f"{RETENTION[Kind.DELETE_FAILURE].days} days, or when they are put back"),
                (
                    "a file that no claim points to any more",
                    f"{RETENTION[Kind.DELETE_BLOB].total_seconds() / 60:.0f} minutes",
                ),
                (
                    "the address in a request to erase a person",
                    f"the last search; searches are {AGAIN_AFTER.total_seconds() / 60:.0f} minutes apart",
                ),
            ),
        )
    )
