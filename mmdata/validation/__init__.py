"""Validation re-checks every promise of a dataset folder from its files alone."""
