"""Contracts: suites that run over every stage, source, codec or command."""
