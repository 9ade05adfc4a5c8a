"""Shards: tar files that are the same bytes every time, and the index that finds every member in them."""
