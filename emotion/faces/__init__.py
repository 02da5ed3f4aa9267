"""Faces: detection, tracking over time, crops."""
