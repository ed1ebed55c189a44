"""PWC-Net trained here, on generated pairs of pictures whose motion is known: section 3.1.2's optical flow."""
