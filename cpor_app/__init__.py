"""Everything that touches the world: triggers above, adapters below, `bootstrap` between them."""
