"""What was embedded, kept durable: items, segments, jobs, blobs."""
