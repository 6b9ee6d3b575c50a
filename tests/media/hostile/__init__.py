"""Hostile specs and files, by kind: traps that plain FFmpeg falls into; see `ground.py`."""
