"""Lists the parts of the pages that are made from the code."""

from collections.abc import Mapping
from pathlib import Path

from cpor_app.adapters.catalogue import load_catalogue
from tools import cost, scale
from tools.pages import claim_life, days_off, errors, functions, insight, partner_mails, retention, settings, telemetry
from tools.pages.engagements import engagements
from tools.pages.markdown import filled

DOCS = Path(__file__).resolve().parents[2] / "docs"


def made() -> Mapping[str, str]:
    """Return the text of each part by the part's name."""
    return {
        "days-off-by-law": days_off.counted(),
        "days-off-left": days_off.left(),
        "engagements": engagements(load_catalogue()),
        "error-codes": errors.codes_table(),
        "error-codes-everywhere": errors.everywhere(),
        "error-details": errors.details_table(),
        "error-rows": errors.rows_table(),
        "errors-by-operation": errors.operations_table(),
        "functions": functions.functions_tables(),
        "insight-steps": insight.steps(),
        "life-diagram": claim_life.diagram(),
        "life-table": claim_life.states_table(),
        "partner-mails": partner_mails.mails(),
        "retention": retention.periods(),
        "roles": functions.roles_table(),
        "settings": settings.settings_table(),
        "telemetry-attributes": telemetry.attributes_table(),
        "telemetry-counters": telemetry.counters_table(),
        "telemetry-lines": telemetry.lines_table(),
        **cost.blocks(),
        **scale.blocks(),
    }


def page(path: Path, blocks: Mapping[str, str]) -> str:
    """Return the text of a page with its parts replaced by *blocks*. Raises KeyError for a part without a block."""
    return filled(path.read_text("utf-8"), blocks)
