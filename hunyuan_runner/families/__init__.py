"""What the service knows of each family of models, without torch: see family.py."""
