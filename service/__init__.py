"""The one door: command line, configuration, wiring and process supervision. Imports everything below it."""
