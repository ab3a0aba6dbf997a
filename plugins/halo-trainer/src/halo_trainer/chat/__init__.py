"""Conversations with models, their commands, and the feedback that they give."""
