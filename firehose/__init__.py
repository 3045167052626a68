"""Bytes in, rows out: the event stream of the network becomes the index."""
