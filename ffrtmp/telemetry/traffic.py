"""What passes over the streams of workers, counted."""

from dataclasses import dataclass


@dataclass(slots=True)
class Traffic:
    """Messages, and the events received and commands sent in them."""

    received: int = 0
    events: int = 0
    sent: int = 0
    commands: int = 0

    def note_received(self, events: int) -> None:
        self.received += 1
        self.events += events

    def note_sent(self, commands: int) -> None:
        self.sent += 1
        self.commands += commands
