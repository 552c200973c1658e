"""Addresses of this machine that a server may listen on."""

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Nobody else reaches these."""
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - recognised, not bound
"""Whoever reaches this machine reaches these."""
