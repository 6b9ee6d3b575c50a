"""The process that runs FFmpeg."""
