"""ffrtmp: an asyncio gRPC streaming cluster for FFmpeg."""

__version__ = "0.1.0"
