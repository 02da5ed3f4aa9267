"""What is on disk: corpora and their labels, splits without shared speakers, checks, downloads."""
