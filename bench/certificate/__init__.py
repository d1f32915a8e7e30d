"""How near the faster ways of computing a clip come to the exact one: see docs/certificate.md."""
