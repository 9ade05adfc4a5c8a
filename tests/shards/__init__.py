"""Tests of mmdata.shards."""
