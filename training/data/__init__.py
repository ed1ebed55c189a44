"""Makes batches from generated dancers and music and from real clips: records, shards, pairs, augmentation."""
