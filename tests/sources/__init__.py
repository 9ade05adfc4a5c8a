"""Tests of mmdata.sources."""
