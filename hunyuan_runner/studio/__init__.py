"""The page for browsers. It talks to the service through the REST routes, like any other client."""
