"""Which root of which worker gets no work: against a plain reading of the rule."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from ffrtmp.domain.roots import Claim, RootReport, claims_of, contested_roots, refused_roots
from ffrtmp.domain.worker import Capabilities
from ffrtmp.master.roots import RootBook
from ffrtmp.store.records import WorkerRecord

WORKERS = ("w1", "w2", "w3", "w4")


@st.composite
def fleets(draw, *, chains: bool = True) -> dict[str, list[RootReport]]:
    """Workers with one root each, on one of three folders, of which some have media. `chains`: some
    of one folder know of each other by a third one only."""
    folders = {
        worker: draw(st.sampled_from("xyz"))
        for worker in draw(st.lists(st.sampled_from(WORKERS), unique=True))
    }
    empty = {folder: draw(st.booleans()) for folder in "xyz"}
    broken = draw(st.sets(st.sampled_from(WORKERS), max_size=1))
    reports, begun = {}, set()
    for worker, folder in folders.items():
        # Who started before has written there already; whoever starts later sees it.
        seen = frozenset(
            other for other in folders if folders[other] == folder and other not in broken
        )
        early = (chains or folder not in begun) and draw(st.booleans())
        begun.add(folder)
        reports[worker] = [
            RootReport(
                name="media",
                nonce=worker,
                sees=frozenset({worker}) if early else seen,
                empty=empty[folder],
                problem="is read-only" if worker in broken else "",
            )
        ]
    return reports


def groups_of(reports: dict[str, RootReport]) -> list[set[str]]:
    """Workers joined by any chain of one having seen the other's nonce."""
    groups: list[set[str]] = []
    left = set(reports)
    while left:
        group = {left.pop()}
        while True:
            joined = {
                other
                for other in left
                for member in group
                if reports[member].nonce in reports[other].sees
                or reports[other].nonce in reports[member].sees
            }
            if not joined:
                break
            group |= joined
            left -= joined
        groups.append(group)
    return groups


@given(fleet=fleets())
@settings(max_examples=300)
def test_one_group_keeps_the_root_and_every_other_worker_is_told_why_not(fleet):
    refused = refused_roots(fleet)
    assert refused.keys() == fleet.keys()
    good = {worker: roots[0] for worker, roots in fleet.items() if not roots[0].problem}
    for worker in fleet.keys() - good.keys():
        assert refused[worker] == {"media": "is read-only"}
    kept = {worker for worker in good if not refused[worker]}
    groups = groups_of(good)
    if not groups:
        return
    assert kept in groups

    def has_media(group: set[str]) -> bool:
        return any(not good[worker].empty for worker in group)

    for other in groups:
        if other == kept:
            continue
        assert has_media(kept) >= has_media(other)
        if has_media(kept) == has_media(other):
            assert (-len(kept), min(kept)) < (-len(other), min(other))
    for worker in good.keys() - kept:
        why = refused[worker]["media"]
        assert min(kept) in why
        assert ("is it mounted?" in why) == good[worker].empty


@given(fleet=fleets(), order=st.permutations(WORKERS))
def test_the_order_in_which_workers_came_does_not_matter(fleet, order):
    turned = {worker: fleet[worker] for worker in order if worker in fleet}
    assert refused_roots(turned) == refused_roots(fleet)


@given(
    fleet=fleets(chains=False),
    leaving=st.sets(st.sampled_from(WORKERS)),
    lost=st.booleans(),
    restarted=st.booleans(),
)
@settings(max_examples=300)
def test_who_leaves_keeps_its_folder_from_those_that_were_refused_and_from_strangers_if_lost(
    fleet, leaving, lost, restarted
):
    """`restarted`: those who stay prove their roots anew, and see their own older proofs."""
    before = refused_roots(fleet)
    contested = contested_roots(fleet, before)
    away = {
        worker: claims_of(fleet[worker], before[worker], contested, lost=lost)
        for worker in leaving & fleet.keys()
    }
    here = {worker: roots for worker, roots in fleet.items() if worker not in leaving}
    if restarted:
        here = {worker: [anew(root) for root in roots] for worker, roots in here.items()}
    after = refused_roots(here, away)
    good = {worker for worker in here if not fleet[worker][0].problem}
    kept = {worker for worker in fleet if "media" not in before[worker]}
    assert {worker for worker in good if "media" in after[worker]} == good - kept
    everybody_left = kept <= leaving
    for worker in good - kept:
        assert ("which is away" in after[worker]["media"]) == everybody_left
    stranger = [RootReport(name="media", nonce="new", sees=frozenset({"new"}), empty=True)]
    alone = refused_roots({"w9": stranger}, away)["w9"]
    assert bool(alone) == (lost and bool(kept & leaving))


def anew(root: RootReport) -> RootReport:
    return RootReport(
        name=root.name,
        nonce=f"{root.nonce}'",
        sees=root.sees | {f"{root.nonce}'", root.nonce},
        empty=root.empty,
        problem=root.problem,
    )


def test_two_that_are_away_are_one_group_when_they_shared():
    seen = frozenset({"a", "b"})
    away = {
        worker: [Claim(RootReport(name="m", nonce=nonce, sees=seen), frozenset({"c"}))]
        for worker, nonce in (("w1", "a"), ("w2", "b"))
    }
    third = RootReport(name="m", nonce="c", sees=frozenset({"c"}))
    assert "worker 'w1'" in refused_roots({"w3": [third]}, away)["w3"]["m"]
    back = RootReport(name="m", nonce="d", sees=frozenset({"d", "b"}))
    refused = refused_roots({"w2": [back], "w3": [third]}, {"w1": away["w1"]})
    assert refused["w2"] == {}
    assert "away" not in refused["w3"]["m"]


def test_each_root_is_judged_by_itself():
    both = [RootReport(name=name, nonce=f"{name}1", sees=frozenset({f"{name}1"})) for name in "ab"]
    other = RootReport(name="b", nonce="b2", sees=frozenset({"b2"}))
    refused = refused_roots({"w1": both, "w2": [other]})
    assert refused["w1"] == {}
    assert refused["w2"].keys() == {"b"}


def test_nobody_is_told_to_start_an_owner_whose_session_runs():
    report = RootReport(name="m", nonce="a", sees=frozenset({"a"}))
    other = RootReport(name="m", nonce="b", sees=frozenset({"b"}))
    for alive in (False, True):
        away = {"w1": [Claim(report, frozenset({"b"}), alive=alive)]}
        why = refused_roots({"w2": [other]}, away)["w2"]["m"]
        assert "worker 'w1'" in why
        assert ("which is away: start it" in why) != alive


FOLDERS = {"x": frozenset("xX"), "y": frozenset("yY"), "z": frozenset("z")}
"""What is seen in each; a report may say less."""
FEWEST_SEEN = st.sampled_from([1, 1, 1, 0])


@st.composite
def reports(draw) -> tuple[RootReport, ...]:
    found = []
    for name in draw(st.sampled_from(["m", "m", "mn", "n", ""])):
        nonces = FOLDERS[draw(st.sampled_from("xyz"))]
        sees = draw(st.frozensets(st.sampled_from(sorted(nonces)), min_size=draw(FEWEST_SEEN)))
        found.append(
            RootReport(
                name=name,
                nonce=min(nonces),
                sees=sees,
                empty=draw(st.booleans()),
                problem=draw(st.sampled_from(["", "", "", "is read-only"])),
            )
        )
    return tuple(found)


class RootsKeptUp(RuleBasedStateMachine):
    """Workers come, report and go: what is kept up is what the rule says of all of them anew."""

    def __init__(self) -> None:
        super().__init__()
        self.roots = RootBook()
        self.here: dict[str, tuple[RootReport, ...]] = {}
        self.before: dict[str, set[str]] = {}

    @rule(worker=st.sampled_from(WORKERS), found=reports())
    def come(self, worker, found):
        self.here[worker] = found
        self.roots.put(worker, found)

    @rule(data=st.data(), lost=st.booleans())
    def leave(self, data, lost):
        if self.here:
            worker = data.draw(st.sampled_from(sorted(self.here)))
            del self.here[worker]
            self.before.pop(worker, None)
            self.roots.leave(worker, lost=lost)

    @rule(worker=st.sampled_from(WORKERS), found=reports(), alive=st.booleans(), lost=st.booleans())
    def recall(self, worker, found, alive, lost):
        record = WorkerRecord(
            name=worker,
            incarnation="i",
            epoch=1,
            address="",
            alive=alive,
            lost=lost,
            capabilities=Capabilities(
                spec_version=1, ffmpeg_version="9", codecs=frozenset(), roots=found
            ),
        )
        before = self.roots.waited_for
        assert self.roots.recall(before, [record]) == (self.roots.waited_for != before)

    @rule()
    def hear_that_all_were_removed(self):
        self.roots.recall(self.roots.waited_for, [])
        assert not self.roots.waited_for

    @rule()
    def settle(self):
        """In between nobody asks: several changes are judged as one."""
        changed = self.roots.settle()
        plain = refused_roots(self.here, self.roots.waited_for)
        assert {worker: dict(self.roots.refused(worker)) for worker in self.here} == plain
        now = {worker: set(plain[worker]) for worker in self.here}
        assert {each for each in now if now[each] != self.before.get(each, set())} <= changed
        self.before = now
        for name in "mn":
            having = [
                worker
                for worker, found in self.here.items()
                if name in {each.name for each in found}
            ]
            nowhere = bool(having) and all(name in plain[worker] for worker in having)
            assert (name in self.roots.useless) == nowhere
        assert self.roots.known >= {each.name for found in self.here.values() for each in found}


TestRootsKeptUp = RootsKeptUp.TestCase
TestRootsKeptUp.settings = settings(max_examples=150, stateful_step_count=20)
