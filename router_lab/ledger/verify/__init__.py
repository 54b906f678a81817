"""Everything about a ledger that can be checked, checked. Begin with `verify`."""
