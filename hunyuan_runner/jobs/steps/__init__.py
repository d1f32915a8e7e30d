"""The steps that bring an older job database up to date, by the version that each leads to.

A step changes what the version before it left, so it names tables and columns itself: those of
database.py may change later. To change the tables, change database.py and add a file here; the
highest number is the version of the schema.
"""
