"""What this machine is and can, and what its processes share. No torch here."""
