"""Stage 8: read the stewards' ledger, once and for all arms: which decisions hold, and what they make of the groups."""
