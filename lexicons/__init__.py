"""The `social.communities.*` schemas, as package data. This version defines none: it speaks `app.bsky.feed` only."""
