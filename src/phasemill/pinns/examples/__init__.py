"""Problems of one's own, written with `Problem`; each runs as a program and stands in a test."""
