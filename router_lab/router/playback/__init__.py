"""Answers out of a recording: what was answered before is answered again, and nothing is sent.

In comes a job, as every call is one; out comes the recorded completion, or an error that names what was not
recorded. Begin reading in `playback.py`; `recording.py` finds the recorded calls of an input.

Neighbours use `batched_queries`, `no_ledger`, `playback` and `recording`.
"""
