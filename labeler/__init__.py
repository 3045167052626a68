"""Decisions in, labels out. The name is reserved here; moderation labels are not part of this version."""
