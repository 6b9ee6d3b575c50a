"""Turns facts into metrics and log lines. The parts report; nothing here decides."""
