"""Files by key: checkpoints and finished clips, in a local folder or a bucket."""
