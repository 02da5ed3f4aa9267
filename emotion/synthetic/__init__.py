"""The drawn and spoken corpus of `make demo`."""
