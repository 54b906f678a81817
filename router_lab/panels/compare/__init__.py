"""Pairs side by side: chosen by filters, drawn a page at a time, what differs marked, what people say kept.

In comes a ledger or a frame of comparisons; out go a widget and `Score` rows. Begin with `compare_panel`.

Neighbours use `compare_panel` and `marking`.
"""
