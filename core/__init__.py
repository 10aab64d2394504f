"""The words and rules of Trimtab's domain: pure, standard library only."""
