"""Roots, staging and publishing on a real file system."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ffrtmp.domain.job import FileRecord, Manifest
from ffrtmp.domain.roots import refused_roots
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.spec import MediaPath
from ffrtmp.storage.errors import (
    InputMissing,
    InputNotAFile,
    InputUnreadable,
    PathEscapes,
    RootAbsent,
    StagedLost,
    StorageFailing,
    TargetConflict,
    TargetUnusable,
)
from ffrtmp.storage.handles import hold_folder
from ffrtmp.storage.publishing import deliveries, publish, take_over
from ffrtmp.storage.roots import Roots
from ffrtmp.storage.staging import (
    hash_file,
    make_durable,
    reserve,
    staged_path,
    sweep_orphans,
)

JOB = "01KB0Z6V5Q3M8S7T9W2X4Y6Z8A"
KEY = AttemptKey(JOB, 3)


def media(path: str) -> MediaPath:
    return MediaPath("media", path)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# --- roots ---------------------------------------------------------------------------------------


def test_workers_with_one_folder_see_each_other_and_an_empty_mount_is_refused(
    tmp_path: Path,
) -> None:
    shared, unmounted = tmp_path / "shared", tmp_path / "unmounted"
    shared.mkdir()
    unmounted.mkdir()
    (shared / "film.mkv").write_bytes(b"film")
    workers = {name: Roots({"media": shared}) for name in ("w1", "w2")}
    workers["w3"] = Roots({"media": unmounted})
    reports = {name: roots.report(name, f"nonce-of-{name}") for name, roots in workers.items()}
    assert reports["w2"][0].sees == {"nonce-of-w1", "nonce-of-w2"}
    assert not reports["w1"][0].empty
    assert reports["w3"][0].empty
    refused = refused_roots(reports)
    assert refused["w1"] == refused["w2"] == {}
    assert "mounted" in refused["w3"]["media"]
    for roots in workers.values():
        roots.withdraw()
    assert names(shared) == ["film.mkv"]
    assert names(unmounted) == []


def test_a_new_run_of_a_worker_replaces_its_proof_and_leaves_those_of_others(
    tmp_path: Path,
) -> None:
    Roots({"media": tmp_path}).report("w1", "old")
    Roots({"media": tmp_path}).report("w1.east", "neighbour")
    newest = Roots({"media": tmp_path})
    [report] = newest.report("w1", "new")
    assert report.sees == {"old", "neighbour", "new"}
    assert ".ffrtmp-root.w1.old" in names(tmp_path)  # it may be of a twin that is alive
    newest.remove_older_proofs()
    assert names(tmp_path) == [".ffrtmp-root.w1.east.neighbour", ".ffrtmp-root.w1.new"]


def test_a_bad_root_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    roots = Roots(
        {"gone": tmp_path / "gone", "file": tmp_path / "file", "dead": Path("/proc/self/task")}
    )
    problems = {report.name: report.problem for report in roots.report("w1", "n")}
    assert "does not exist: mount or make it" in problems["gone"]
    assert "is not a folder" in problems["file"]
    assert "cannot be written" in problems["dead"]


def test_a_root_is_tried_again_and_what_was_proved_is_only_looked_for(tmp_path: Path) -> None:
    late, mounted = tmp_path / "late", tmp_path / "mounted"
    mounted.mkdir()
    roots = Roots({"late": late, "mounted": mounted})
    assert [bool(each.problem) for each in roots.report("w1", "n1")] == [True, False]
    late.mkdir()
    mounted.rename(tmp_path / "away")
    mounted.mkdir()  # the empty folder below a mount
    first, second = roots.report_again("w1", "n1")
    assert (first.problem, first.sees) == ("", {"n1"})
    assert "another folder lies at its place" in second.problem
    assert not list(mounted.iterdir())
    mounted.rmdir()
    (tmp_path / "away").rename(mounted)
    assert [each.problem for each in roots.report_again("w1", "n1")] == ["", ""]
    assert roots.reports == roots.report_again("w1", "n1")


def test_an_input_is_found_below_its_root_only(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("secret")
    (root / "link").symlink_to("../secret")
    (root / "outside").symlink_to(tmp_path)
    (root / "good").write_text("good")
    (root / "alias").symlink_to("good")
    os.mkfifo(root / "pipe")
    roots = Roots({"media": root})
    assert roots.resolve(media("alias"), for_writing=False) == (root / "good").resolve()
    for path, error in {
        "link": PathEscapes,
        "outside/secret": PathEscapes,
        "../secret": PathEscapes,
        "pipe": InputNotAFile,
        ".": PathEscapes,
        "nothing": InputMissing,
        "good/below": InputUnreadable,
    }.items():
        with pytest.raises(error):
            roots.resolve(media(path), for_writing=False)


def test_an_output_never_leaves_its_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (root / "out").symlink_to(tmp_path / "elsewhere")
    (root / "link.mkv").symlink_to(tmp_path / "elsewhere" / "a.mkv")
    (root / "circle").symlink_to("circle")
    roots = Roots({"media": root})
    for path in ("out/a.mkv", "link.mkv", "../a.mkv"):
        with pytest.raises(PathEscapes):
            roots.resolve(media(path), for_writing=True)
    with pytest.raises((StorageFailing, PathEscapes)):
        roots.resolve(media("circle/a.mkv"), for_writing=True)
    assert roots.resolve(media("new/a.mkv"), for_writing=True) == root / "new" / "a.mkv"


def test_a_missing_root_is_told_from_a_missing_input(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    roots = Roots({"media": root})
    roots.report("w1", "nonce")
    with pytest.raises(InputMissing, match=r"media:a\.mkv does not exist"):
        roots.resolve(media("a.mkv"), for_writing=False)
    root.rename(tmp_path / "away")
    with pytest.raises(RootAbsent, match="is it mounted"):
        roots.resolve(media("a.mkv"), for_writing=False)
    root.mkdir()  # as after an unmount: a folder, but another one
    with pytest.raises(RootAbsent, match="another folder"):
        roots.resolve(media("a.mkv"), for_writing=True)
    with pytest.raises(RootAbsent, match="not mapped"):
        roots.resolve(MediaPath("other", "a.mkv"), for_writing=True)


# --- staging -------------------------------------------------------------------------------------


def test_a_reservation_makes_folders_and_can_be_taken_back(tmp_path: Path) -> None:
    folder = Roots({"media": tmp_path}).open_folder(media("a/b/c.mkv"), make=True)
    reservation = reserve(folder, "c.mkv", KEY, "media:a/b/c.mkv")
    umask = os.umask(0)
    os.umask(umask)
    assert reservation.path.stat().st_mode & 0o777 == 0o666 & ~umask
    (tmp_path / "a" / "kept").write_text("")
    reservation.withdraw()
    assert names(tmp_path) == ["a", "a/kept"]


def test_a_folder_that_cannot_be_made_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    says = (
        r"output media:file/x/c\.mkv lies below media:file, which is a file; choose another folder"
    )
    with pytest.raises(TargetUnusable, match=says):
        Roots({"media": tmp_path}).open_folder(media("file/x/c.mkv"), make=True)
    assert names(tmp_path) == ["file"]


def test_a_file_is_hashed_and_made_durable(tmp_path: Path) -> None:
    reservation = reserve(hold_folder(tmp_path), "a", KEY, "media:a")
    reservation.path.write_bytes(b"x" * 3_000_000)
    make_durable(reservation, "media:a")
    assert hash_file(reservation.file.path, "media:a") == FileRecord(
        "media:a", 3_000_000, hashlib.sha256(b"x" * 3_000_000).hexdigest()
    )


def test_old_staged_files_are_swept_unless_somebody_wants_them(tmp_path: Path) -> None:
    (tmp_path / "shows").mkdir()
    wanted, orphan, young = (
        staged_path(tmp_path / "shows" / "a.mkv", AttemptKey(JOB, fence)) for fence in (1, 2, 3)
    )
    for path in (wanted, orphan, young, tmp_path / "a.part"):
        path.write_text("")
        os.utime(path, (1000, 1000))
    os.utime(young, (80_000, 80_000))
    removed = sweep_orphans([tmp_path], keep={AttemptKey(JOB, 1)}, now=1000 + 24 * 3600.0)
    assert removed == [orphan]
    assert wanted.exists()
    assert young.exists()
    assert (tmp_path / "a.part").exists()


def test_a_walk_through_a_large_root_ends_when_the_worker_does(tmp_path: Path) -> None:
    orphan = tmp_path / "sub" / f".a.{JOB}.3.part.mkv"
    orphan.parent.mkdir()
    orphan.write_text("")
    os.utime(orphan, (1000, 1000))
    asked = iter([True, False])
    assert sweep_orphans([tmp_path], keep=(), now=1e9, goes_on=lambda: next(asked)) == []
    assert sweep_orphans([tmp_path], keep=(), now=1e9) == [orphan]


def test_only_a_root_without_other_workers_is_ours_to_sweep(tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    alone.mkdir()
    shared.mkdir()
    first, second = Roots({"a": alone, "s": shared}), Roots({"s": shared})
    second.report("w2", "n2")
    first.report("w1", "n0")
    first.report("w1", "n1")  # its own older proof counts for nobody else
    assert first.unshared == [alone]


# --- publishing ----------------------------------------------------------------------------------


class Shelf:
    """Two outputs, staged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.targets = [folder / "one.mkv", folder / "two.mkv"]
        self.bytes = {target: target.name.encode() * 1000 for target in self.targets}
        records = []
        for target in self.targets:
            staged_path(target, KEY).write_bytes(self.bytes[target])
            records.append(hash_file(staged_path(target, KEY), f"media:{target.name}"))
        self.manifest = Manifest(tuple(records), KEY.fence)

    def publish(self, *, overwrite: bool = False, fence: int = KEY.fence) -> None:
        manifest = Manifest(self.manifest.files, fence)
        publish(deliveries(manifest, self.targets, JOB), overwrite=overwrite)

    def take_over(self, fence: int) -> None:
        take_over(deliveries(self.manifest, self.targets, JOB), AttemptKey(JOB, fence))

    def is_complete(self) -> bool:
        return names(self.folder) == ["one.mkv", "two.mkv"] and all(
            target.read_bytes() == content for target, content in self.bytes.items()
        )


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.mark.parametrize("overwrite", [False, True])
def test_publishing_twice_is_publishing_once(shelf: Shelf, overwrite: bool) -> None:
    shelf.publish(overwrite=overwrite)
    assert shelf.is_complete()
    shelf.publish(overwrite=overwrite)
    assert shelf.is_complete()


def test_a_conflict_at_the_second_output_takes_back_the_first(shelf: Shelf) -> None:
    shelf.targets[1].write_text("somebody else's")
    with pytest.raises(TargetConflict, match=r"media:two.mkv exists already"):
        shelf.publish()
    assert not shelf.targets[0].exists()
    assert shelf.targets[1].read_text() == "somebody else's"
    shelf.targets[1].unlink()
    shelf.publish()
    assert shelf.is_complete()


def test_overwriting_replaces_what_was_there(shelf: Shelf) -> None:
    shelf.targets[1].write_text("old")
    shelf.publish(overwrite=True)
    assert shelf.is_complete()


def test_a_lost_staged_file_publishes_nothing(shelf: Shelf) -> None:
    staged_path(shelf.targets[1], KEY).unlink()
    with pytest.raises(StagedLost, match=r"media:two.mkv"):
        shelf.publish(overwrite=True)
    assert not shelf.targets[0].exists()


def test_a_cut_staged_file_publishes_nothing(shelf: Shelf) -> None:
    staged_path(shelf.targets[1], KEY).write_text("short")
    with pytest.raises(StagedLost):
        shelf.publish(overwrite=True)
    assert not shelf.targets[0].exists()


def test_a_thawed_old_holder_finds_nothing_to_publish(shelf: Shelf) -> None:
    shelf.take_over(4)
    with pytest.raises(StagedLost):
        shelf.publish(overwrite=True)
    shelf.publish(fence=4, overwrite=True)
    before = [target.stat().st_ino for target in shelf.targets]
    shelf.publish(overwrite=True)
    assert [target.stat().st_ino for target in shelf.targets] == before
    assert shelf.is_complete()


def test_taking_over_what_is_published_already_changes_nothing(shelf: Shelf) -> None:
    shelf.publish()
    shelf.take_over(4)
    shelf.publish(fence=4)
    assert shelf.is_complete()


def test_taking_over_other_bytes_is_refused(shelf: Shelf) -> None:
    path = staged_path(shelf.targets[0], KEY)
    path.write_bytes(b"?" * path.stat().st_size)
    with pytest.raises(StagedLost):
        shelf.take_over(4)


KILLED_PUBLISH = """
import os, signal, sys
from pathlib import Path
from test_storage import KEY, Shelf
from ffrtmp.storage.publishing import deliveries, publish

step, left, overwrite = 0, int(sys.argv[2]), sys.argv[3] == "True"
shelf = Shelf(Path(sys.argv[1]))
parcels = deliveries(shelf.manifest, shelf.targets, KEY.job_id)

def hook(event, args):
    global step
    if event in {"os.link", "os.rename", "os.remove"}:
        step += 1
        if step == left:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
publish(parcels, overwrite=overwrite)
"""


@pytest.mark.parametrize(
    ("overwrite", "step"), [*((False, n) for n in (1, 2, 3, 4)), (True, 1), (True, 2)]
)
def test_a_kill_at_any_step_of_publishing_leaves_whole_targets_and_a_way_on(
    tmp_path: Path, overwrite: bool, step: int
) -> None:
    old = b"old"
    if overwrite:
        for name in ("one.mkv", "two.mkv"):
            (tmp_path / name).write_bytes(old)
    here = Path(__file__)
    path = os.pathsep.join([str(here.parent), str(here.parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", KILLED_PUBLISH, str(tmp_path), str(step), str(overwrite)],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    contents = {target.name.encode() * 1000 for target in tmp_path.glob("[a-z]*")} | {old}
    assert all(target.read_bytes() in contents for target in tmp_path.glob("[a-z]*"))
    records = tuple(
        FileRecord(f"media:{name}", 7000, hashlib.sha256(name.encode() * 1000).hexdigest())
        for name in ("one.mkv", "two.mkv")
    )
    targets = [tmp_path / "one.mkv", tmp_path / "two.mkv"]
    publish(deliveries(Manifest(records, KEY.fence), targets, JOB), overwrite=overwrite)
    assert names(tmp_path) == ["one.mkv", "two.mkv"]
    assert all(target.read_bytes() == target.name.encode() * 1000 for target in targets)
