"""A bounded load probe of the live gateway: more requests at a time, step by step, until latency certainly bends."""
