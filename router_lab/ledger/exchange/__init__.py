"""Rows that come in from other tools and go out to them: imports, exports, ratings, providers' bills.

In come files and frames; out go rows in our own columns, and what could not be used, named. Each file is one
way in or out.

Neighbours use `exporting`, `reconcile`, `score_files` and `score_import`.
"""
