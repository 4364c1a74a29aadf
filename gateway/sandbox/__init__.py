"""Simulators of providers that speak the providers' own wire."""
