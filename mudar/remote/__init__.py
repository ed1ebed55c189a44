"""Search on an engine outside of this process."""
