"""What the service answers, a file for each group of routes. Each declares its own part of the
OpenAPI document; document.py does the rest."""
