// The queue panel.
