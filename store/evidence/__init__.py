"""Evidence: what an installation recorded in a period, in one file that anyone can check without it."""
