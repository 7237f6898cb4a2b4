"""Microsoft's licences: the service plans of each workload, and the SKUs that are not bought."""

from collections.abc import Mapping

from cpor_core.model.base import Guid, Slug, Value


class Licensing(Value):
    """
    The plans and SKUs, by id: their names have several spellings, and many SKUs have plans with similar names.

    `workloads` has each workload of the catalogue with its plans; one of the plans is enough. Microsoft Graph does not
    say the seats of a workload without plans.
    """

    workloads: Mapping[Slug, frozenset[Guid]]
    free_skus: frozenset[Guid]

    def workloads_of(self, plans: frozenset[str]) -> frozenset[str]:
        """Return the workloads that a SKU with these plans gives."""
        return frozenset(name for name, enough in self.workloads.items() if enough & plans)
