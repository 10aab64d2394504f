"""A model that judges answers: what it is asked, how strictly it is read, and what its verdicts are worth."""
