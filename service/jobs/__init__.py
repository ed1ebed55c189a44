"""Jobs: submitting, watching and cancelling them."""
