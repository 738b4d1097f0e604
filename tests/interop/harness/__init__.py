"""What `run` is made of: the cache of client packages, the server under test, and the stages."""
