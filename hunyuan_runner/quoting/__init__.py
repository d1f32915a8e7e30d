"""Quotes: the time, memory and money that a clip takes, and what to ask for instead."""
