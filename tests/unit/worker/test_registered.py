"""What a worker leaves in its roots when it goes."""

from pathlib import Path

from ffrtmp.domain.attempt import Failure
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.spec import Input, JobSpec, MediaPath, Output, TestSource
from ffrtmp.storage.roots import Roots
from ffrtmp.worker.journal import Entry, Journal
from ffrtmp.worker.registration import registered

SPEC = JobSpec(
    input=Input(test_source=TestSource()), outputs=(Output(path=MediaPath("m", "a.mkv")),)
)
KEY = AttemptKey("j1", 1)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_proof_stays_while_a_result_waits_for_its_master(tmp_path: Path) -> None:
    """Else another worker takes the root for its own, and what is staged there for refuse."""
    media = tmp_path / "media"
    media.mkdir()
    failed = Failure(reason=Reason.FFMPEG_FAILED, message="no")
    with Journal.open(tmp_path / "journal") as journal:
        journal.record(Entry(key=KEY, spec=SPEC, failure=failed))
        async with registered(Roots({"m": media}), "w1", "i1", journal):
            pass
        assert names(media) == [".ffrtmp-root.w1.i1"]
        journal.forget(KEY)
        again = Roots({"m": media})
        async with registered(again, "w1", "i2", journal):
            again.remove_older_proofs()
        assert names(media) == []
