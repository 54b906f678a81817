"""What simulated models say: a pure function from model and request to an answer.

In comes what is asked; out goes text, tool calls and their mistakes. Begin with `known_answers`.

Neighbours use `known_answers`.
"""
