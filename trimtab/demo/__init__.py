"""The demonstration: a small shop's support assistant, its written corpus, its simulated customers, its scenario."""
