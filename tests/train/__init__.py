"""Tests of mmdata.train."""
