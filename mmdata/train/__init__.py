"""The reference model and its training loop: they prove the shards end to end."""
