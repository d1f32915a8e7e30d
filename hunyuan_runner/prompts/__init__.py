"""How prompts become tokens for the text encoders, and what is lost on the way. Without torch."""
