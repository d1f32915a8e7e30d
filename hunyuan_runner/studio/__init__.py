"""The page for browsers: fragments of HTML that htmx swaps in, on top of the API's own Backend.

`routes/` has a module for each panel of the page, `templates/` a folder, and `static/` a stylesheet
and a script. There is no build step.
"""
