"""The only SQL of Trimtab: tables, units of work, and the reads and writes of each aggregate."""
