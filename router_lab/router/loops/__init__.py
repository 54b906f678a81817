"""What of a router lives on one event loop, and the thread that has a loop for callers without one.

Begin with `loop_states`.
"""
