"""One broken promise."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """`rule`: the invariant, I1 to I16, or `process`. `subject`: a job, a worker, a process."""

    rule: str
    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule:4} {self.subject}: {self.what}"
