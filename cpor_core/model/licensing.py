"""What Microsoft's licences are: which service plans are which workload, and which SKUs nobody has bought."""

from collections.abc import Mapping

from cpor_core.model.base import Guid, Slug, Value


class Licensing(Value):
    """
    By ids only: the names of plans and SKUs have several spellings, and many SKUs hold plans of similar names.

    `workloads` has every workload of the catalogue, with the plans of which one is enough; a workload without any has
    no seats that Microsoft Graph could tell.
    """

    workloads: Mapping[Slug, frozenset[Guid]]
    free_skus: frozenset[Guid]

    def workloads_of(self, plans: frozenset[str]) -> frozenset[str]:
        """Return the workloads that a SKU with these plans gives."""
        return frozenset(name for name, enough in self.workloads.items() if enough & plans)
