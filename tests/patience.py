"""How long the tests wait for what is to happen."""

PATIENCE = 240.0
"""Seconds: a hang fails, a machine that takes five times as long as another does not."""
