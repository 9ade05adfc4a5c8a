"""Tests of mmdata.text."""
