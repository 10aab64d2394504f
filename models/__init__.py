"""Language models on this machine: prepare, load, generate, score, adapters, fingerprints and the text encoder."""
