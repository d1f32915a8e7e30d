# Written by `make client` from _async/__init__.py: edit that file.
