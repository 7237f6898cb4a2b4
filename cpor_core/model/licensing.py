"""Microsoft's licences: the service plans of each workload, and the SKUs that are free."""

from collections.abc import Mapping

from cpor_core.model.base import Guid, Slug, Value


class Licensing(Value):
    """
    The ids of plans and SKUs. Names are not used, because many names are similar and have several spellings.

    `workloads` has the plans of each workload in the catalogue. A SKU gives a workload if it has one of these plans.
    For a workload without plans, Microsoft Graph reports no seats.
    """

    workloads: Mapping[Slug, frozenset[Guid]]
    free_skus: frozenset[Guid]

    def workloads_of(self, plans: frozenset[str]) -> frozenset[str]:
        """Return the workloads of a SKU with these plans."""
        return frozenset(name for name, own_plans in self.workloads.items() if own_plans & plans)
