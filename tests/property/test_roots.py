"""Which root of which worker gets no work: against a plain reading of the rule."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ffrtmp.domain.worker import RootReport, refused_roots

WORKERS = ("w1", "w2", "w3", "w4")


@st.composite
def fleets(draw) -> dict[str, list[RootReport]]:
    """Workers with one root each, on one of three folders, of which some have media."""
    folders = {
        worker: draw(st.sampled_from("xyz"))
        for worker in draw(st.lists(st.sampled_from(WORKERS), unique=True))
    }
    empty = {folder: draw(st.booleans()) for folder in "xyz"}
    broken = draw(st.sets(st.sampled_from(WORKERS), max_size=1))
    reports = {}
    for worker, folder in folders.items():
        # Who started before has written there already; whoever starts later sees it.
        seen = frozenset(
            other for other in folders if folders[other] == folder and other not in broken
        )
        early = draw(st.booleans())
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


def test_each_root_is_judged_by_itself():
    both = [RootReport(name=name, nonce=f"{name}1", sees=frozenset({f"{name}1"})) for name in "ab"]
    other = RootReport(name="b", nonce="b2", sees=frozenset({"b2"}))
    refused = refused_roots({"w1": both, "w2": [other]})
    assert refused["w1"] == {}
    assert refused["w2"].keys() == {"b"}
