"""Where messages are kept: the protocols in base, one engine a module."""
