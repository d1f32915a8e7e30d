"""The models on this machine: fetching them, checking them, and the licence they come under."""
