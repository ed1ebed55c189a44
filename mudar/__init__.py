"""The core: media in, numbers and media out. Knows no web and no queue."""
