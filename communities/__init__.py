"""The domain: what a community is, what belongs to it and why. No sockets, no SQL."""
