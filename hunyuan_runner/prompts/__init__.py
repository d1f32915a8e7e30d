"""How prompts are put to the text encoders, and what those leave out. No torch here."""
