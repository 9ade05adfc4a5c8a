"""Tests of mmdata.cli."""
