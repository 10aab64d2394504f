"""One page a file: each loads what it shows in one read and draws it."""
