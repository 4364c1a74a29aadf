"""Adapters, one file per provider. `registry` finds them by the `kind` of an account."""
