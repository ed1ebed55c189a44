"""Lists, reads, corrects and deletes the items of the library."""
