"""What a clip takes on a machine: time, memory and money, and what to ask for instead."""
