"""The reference, made from the code, and the pages of prose beside it.

Begin with `pages`, which gives every page as Markdown; `site` makes HTML of them.

Neighbours use `site`.
"""
