"""Tests: they mirror the packages, with suites of their own for faults and interoperation."""
