"""What this machine is and can do, and what its processes share. No torch here."""
