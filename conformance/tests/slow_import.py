"""A module that does not come back while it is imported, as one that waits for a device does."""

import time

time.sleep(3600)
