"""The front door: HTTP and command line. Loads no torch."""
