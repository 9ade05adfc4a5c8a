"""Sketches: a few bytes for a picture, a text or a sound, alike where what they stand for is alike."""
