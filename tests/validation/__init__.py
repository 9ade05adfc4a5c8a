"""Validation: what is whole passes, and every kind of damage is found and named."""
