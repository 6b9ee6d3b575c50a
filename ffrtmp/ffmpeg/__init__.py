"""Everything we know about FFmpeg, pure: specs to argv, text to facts, plan against probe."""
