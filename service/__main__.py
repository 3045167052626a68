"""`python -m service`, for the supervisor: the same as the console script."""

from service.cli import entry

entry()
