"""A module for each panel of the page. All but page.py are below /studio/."""
