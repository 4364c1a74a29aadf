"""The command line: one file for each group of commands. The top layer; nothing imports it."""
