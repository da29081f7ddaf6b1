"""Reports: the claims table, one page per benchmark, one summary page per scale. Knows nothing of any wing."""
