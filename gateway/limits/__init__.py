"""How much may be sent, and when: pure decisions, on a clock that is given."""
