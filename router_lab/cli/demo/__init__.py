"""`router-lab demo`: the whole product once, on simulated or real servers, from calls to executed notebooks.

Begin with `demo`.

Neighbours use `demo`.
"""
