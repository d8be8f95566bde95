"""``orpheus conform``: the verb, its summary, its JSON and its page."""
