"""The web page, the HTTP interface, and the limits on uploads."""
