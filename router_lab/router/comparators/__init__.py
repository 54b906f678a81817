"""One small class per way of comparing two answers; `router_lab.router.compare` is the way in."""
