"""Fuzzing: valid inputs, mutated, for every reader of what comes from outside; `make fuzz SECONDS=120` runs all of it."""
