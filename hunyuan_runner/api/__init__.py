"""The service over HTTP. Nothing is rendered here.

A request passes connections.py (how many, how large), front.py (auth.py: who sends it; bodies.py:
what it holds; polls.py: whether it was answered just now) and app.py on its way to one of routes/.
A route reads it with requests.py, works on backend.py, and answers with views.py, files.py or, for
event streams, tail.py. Refusals are made in errors.py; document.py describes all of it.
"""
