"""Writes what was predicted of a recording: the video, tables and the timeline plot."""
