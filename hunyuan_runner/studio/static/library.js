// The library panel.
