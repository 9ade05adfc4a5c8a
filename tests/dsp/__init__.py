"""Tests of mmdata.dsp."""
