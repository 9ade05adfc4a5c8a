"""The loader: an order that is a pure function, decoding in threads, batches on a device, exact state."""
