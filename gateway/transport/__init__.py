"""Pools of connections to providers. Every third-party network exception ends here."""
