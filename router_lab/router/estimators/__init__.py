"""Estimators of input tokens: text features, and two ways to calibrate them."""
