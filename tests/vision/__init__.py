"""Tests of mmdata.vision."""
