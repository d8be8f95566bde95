"""``orpheus new-backend``: a backend package that conforms from its first minute, to be changed into one's own."""
