"""Where training gets its material: generated dancers and music, real clips, pairs, augmentation."""
