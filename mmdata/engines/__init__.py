"""Engines decide where shard tasks run, and nothing else."""
