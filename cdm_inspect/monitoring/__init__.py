"""A line in production: summary, drift and its charts, escapes, agreement, health."""
