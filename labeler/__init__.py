"""Decisions in, labels out: issued, signed, numbered, published."""
