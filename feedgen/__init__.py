"""Rows in, feeds out: the `app.bsky.feed` queries that clients of the network ask a feed generator."""
