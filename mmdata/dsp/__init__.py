"""Signal processing that the audio stages stand on: pure functions over arrays."""
