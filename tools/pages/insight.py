"""Makes the table of steps that insight measures."""

from cpor_core.model.history import Act
from cpor_core.rules.tally import STEPS
from tools.pages.markdown import code, table


def steps() -> str:
    """Return the table of steps. Each step is measured from one act to another."""
    rows = ((code(step.value), _acts(begins), _acts(ends)) for step, (begins, ends) in STEPS.items())
    return "\n".join([*table(("step", "from", "to"), rows), ""])


def _acts(acts: frozenset[Act]) -> str:
    return " or ".join(code(act.value) for act in Act if act in acts)
