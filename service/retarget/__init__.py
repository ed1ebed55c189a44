"""Answers POST /retarget and gives out its videos."""
