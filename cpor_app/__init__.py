"""The app around the core: triggers receive calls, adapters reach other systems, and `bootstrap` joins them."""
