"""Tests of the benchmarks: that they run, and count and compare what they say."""
