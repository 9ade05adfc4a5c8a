"""Tests of the stages: one file for each."""
