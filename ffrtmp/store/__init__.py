"""Remembers. One port, its adapters, and the SQL that finds rows; it knows no rule about states."""
