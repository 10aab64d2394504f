"""The console in the browser: what happens, what waits for a person, and the buttons that decide."""
