"""The service over HTTP: requests become jobs, jobs become answers; nothing is rendered here."""
