"""One small class per way of comparing two answers; `router_lab.router.comparators.compare` is the way in."""
