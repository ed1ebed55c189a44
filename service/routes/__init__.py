"""One file for each word of the interface; a route declares, calls and returns."""
