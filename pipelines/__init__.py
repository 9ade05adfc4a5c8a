"""Bundled recipes, and the demo corpus."""
