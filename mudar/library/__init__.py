"""What was embedded, kept durable: items, analyses, jobs, blobs, and the log of changes that an index follows.

Every function takes an open transaction (`with database.begin() as session:`), so that the caller decides what
is one event. Knows no web, no queue, no torch.
"""
