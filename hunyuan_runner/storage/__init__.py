"""Checkpoints and finished clips, stored by key in a local folder or a bucket."""
