"""Measures the gateway against yardsticks, in the same run on the same cores."""
