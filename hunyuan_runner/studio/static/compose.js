// The compose panel.
