"""Encoders: pretrained bodies, each with `build(...)` and a loader of its authors' weights."""

from emotion.encoders import efficientface

ENCODERS = {"efficientface": efficientface}
