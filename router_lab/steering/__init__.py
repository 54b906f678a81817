"""Acts on the switch from evidence: an exit that is reached, drift that was found, a new look that is due.

In comes what `analysis.exit` says of each task type; out go flips of the ledger's switch, each with its
reason. Begin with `steering`.
"""

from __future__ import annotations

from router_lab.steering.steering import Action, SteeringPolicy, SteeringResult, act, plan_actions, steer

__all__ = ["Action", "SteeringPolicy", "SteeringResult", "act", "plan_actions", "steer"]
