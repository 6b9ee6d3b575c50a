"""Builds of ffrtmp with a fault in them: chaos that does not catch them is worth nothing.

Each edit replaces text that must be there exactly once: a fault that no longer applies is noticed.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import ffrtmp

SOURCE = Path(ffrtmp.__file__).parent


class FaultDoesNotApply(Exception):
    """The text it replaces is not there once."""


@dataclass(frozen=True, slots=True)
class Edit:
    """In `file`, below the package, `old` becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    meaning: str
    edits: tuple[Edit, ...]


FAULTS = (
    Fault(
        "stale-fence",
        "the master takes words of an attempt that is over",
        (
            Edit(
                "domain/job/claims.py",
                "    return job.fence == fence and job.holder == holder\n",
                "    return job.fence >= fence and job.holder is not None\n",
            ),
            Edit(
                "domain/session.py",
                "if job is None or job.fence != report.key.fence or job.last_holder != holder:",
                "if job is None or job.fence < report.key.fence:",
            ),
        ),
    ),
    Fault(
        "result-twice",
        "a result that comes twice is applied twice",
        (
            Edit(
                "domain/job/results.py",
                "import actor_of, give_up, move",
                "import actor_of, changed, give_up, move",
            ),
            Edit(
                "domain/job/results.py",
                "        if job.manifest == manifest:\n            return job\n",
                "        if job.manifest == manifest:\n"
                "            return changed(job, Cause.STAGED, actor=actor_of(holder), now=now)\n",
            ),
            Edit(
                "domain/job/results.py",
                "    if job.state is JobState.SUCCEEDED and job.fence == fence"
                " and job.last_holder == holder:\n        return job\n",
                "    if job.state is JobState.SUCCEEDED and job.fence == fence"
                " and job.last_holder == holder:\n"
                "        return changed(job, Cause.PUBLISHED, actor=actor_of(holder), now=now)\n",
            ),
        ),
    ),
    Fault(
        "not-sent-again",
        "a worker does not say again on a new stream what it has journalled",
        (
            Edit(
                "worker/stream.py",
                "        self._attempts.say_all_results()\n",
                "",
            ),
        ),
    ),
)
NAMES = tuple(fault.name for fault in FAULTS)


def build(name: str, folder: Path) -> Path:
    """Makes the build and returns the folder to run it from. Raises FaultDoesNotApply."""
    [fault] = [fault for fault in FAULTS if fault.name == name]
    return make(fault, folder)


def make(fault: Fault, folder: Path) -> Path:
    """As `build`."""
    unwanted = shutil.ignore_patterns("__pycache__")
    package = shutil.copytree(SOURCE, folder / "ffrtmp", ignore=unwanted)
    for edit in fault.edits:
        file = package / edit.file
        text = file.read_text()
        if (found := text.count(edit.old)) != 1:
            raise FaultDoesNotApply(f"{fault.name}: its text is {found} times in {edit.file}")
        file.write_text(text.replace(edit.old, edit.new))
    return folder
