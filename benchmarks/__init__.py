"""Measurements behind the figures of the documentation; each prints its own."""
