"""Tests of mmdata.validation."""
