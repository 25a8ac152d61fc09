"""What may leave the operator's hands: scrubbed text, pseudonyms, groups of at least k users, and tests of all that."""
