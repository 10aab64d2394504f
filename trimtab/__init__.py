"""The command line of Trimtab and the composition of its processes."""
