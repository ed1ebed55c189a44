"""Answers POST /embed: receives files and embeds them."""
