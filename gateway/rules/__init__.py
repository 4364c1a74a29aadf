"""When messages may leave: pure rules about hours, days and time zones, at a time that is given."""
