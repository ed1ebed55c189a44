"""POST /retarget and the videos that it makes."""
