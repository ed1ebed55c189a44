"""Trains PWC-Net, section 3.1.2's optical flow, on generated pairs of pictures whose motion is known."""
