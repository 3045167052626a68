"""Tests of the service, all through its own door."""
