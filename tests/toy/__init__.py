"""A family of its own, to show what adding one takes: family.py and engine.py are put into copies
of the rooms families/ and engine/, and a model is added to a copy of the catalogue."""
