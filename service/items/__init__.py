"""The items of the library."""
