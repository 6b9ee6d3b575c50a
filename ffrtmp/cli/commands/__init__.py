"""What each command offers: its name, its options, its help; nothing else.

What it does lies in `ffrtmp.cli` and is imported when it runs: help, completion and a mistake in
the options need no gRPC, no protobuf and no FFmpeg, and are there at once.
"""
