"""Which root of which worker gets no work, kept up as workers come and go.

A thousand workers may come at once, and each report could change what is right for all others. So
only roots that somebody reported anew are judged again, when somebody asks, and where all workers
saw one same nonce, as nearly everywhere, there is nothing to judge.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from ffrtmp.domain.roots import (
    Claim,
    RootReport,
    claims_of,
    contested_roots,
    refused_of,
    refused_roots,
    why_useless,
)
from ffrtmp.store.records import WorkerRecord


@dataclass(slots=True)
class _Entry:
    """What is reported of one name: `here` by workers that are, `away` by others, `bad` by those
    that cannot use it, and why. `seen`: how many saw each nonce. `rivals`: the nonces of those that
    were refused when it was judged last."""

    here: dict[str, RootReport] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    away: dict[str, Claim] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    refused: Mapping[str, str] = field(default_factory=dict)
    rivals: frozenset[str] = frozenset()

    def put(self, worker: str, report: RootReport) -> None:
        self.drop(worker)
        if report.problem:
            self.bad[worker] = report.problem
        else:
            self.here[worker] = report
            self.seen.update(report.sees)

    def drop(self, worker: str) -> None:
        self.bad.pop(worker, None)
        if (report := self.here.pop(worker, None)) is not None:
            self._unsee(report)

    def wait_for(self, worker: str, claim: Claim) -> None:
        self.stop_waiting(worker)
        self.away[worker] = claim
        self.seen.update(claim.report.sees)

    def stop_waiting(self, worker: str) -> None:
        if (claim := self.away.pop(worker, None)) is not None:
            self._unsee(claim.report)

    def _unsee(self, report: RootReport) -> None:
        for nonce in report.sees:
            if self.seen[nonce] > 1:
                self.seen[nonce] -= 1
            else:
                del self.seen[nonce]

    def judge(self) -> AbstractSet[str]:
        """Returns the workers for which something has changed."""
        before, self.refused = self.refused, {}
        if max(self.seen.values(), default=0) < len(self.here) + len(self.away):
            members = self.here | {worker: claim.report for worker, claim in self.away.items()}
            self.refused = refused_of(members, self.away)
        self.rivals = frozenset(self.here[worker].nonce for worker in self.refused)
        return before.keys() ^ self.refused.keys()

    def why_not(self, worker: str) -> str | None:
        return self.bad.get(worker) or self.refused.get(worker)

    @property
    def why_nowhere(self) -> str | None:
        return why_useless({**self.bad, **self.refused}, len(self.here) + len(self.bad))


class RootBook:
    def __init__(self) -> None:
        self._reports: dict[str, tuple[RootReport, ...]] = {}
        self._roots: dict[str, _Entry] = {}
        self._away: dict[str, tuple[Claim, ...]] = {}
        self._refused_last: dict[str, Mapping[str, str]] = {}
        self._known: set[str] = set()
        self._reported: set[str] = set()
        self._left: set[str] = set()
        """Those to be judged again: some worker's report is new, or some worker has left."""
        self._changed: set[str] = set()

    # -- who comes and goes -----------------------------------------------------------------

    def put(self, worker: str, reports: tuple[RootReport, ...]) -> None:
        """It is here, and that is what it found."""
        self._refused_last.pop(worker, None)
        self._reported |= self._set_claims(worker, ())
        self._changed.add(worker)
        if self._reports.get(worker) == reports:
            return
        self._reported |= self._drop(worker)
        self._reports[worker] = reports
        for report in reports:
            self._entry(report.name).put(worker, report)
            self._reported.add(report.name)
            self._known.add(report.name)

    def leave(self, worker: str, *, lost: bool) -> None:
        """Its folders are not another worker's because it is away. `lost`: without a goodbye.

        Those that leave together are all held against one judgement: a thousand may be lost at
        once, and where they saw different things each judgement takes a while.
        """
        self._judge(self._reported)
        refused, names = self._refused(worker), self._names_of(worker)
        contested = {name: self._roots[name].rivals for name in names if self._roots[name].rivals}
        claims = claims_of(self._reports.get(worker, ()), refused, contested, lost=lost)
        if refused:
            self._refused_last[worker] = refused
        self._left |= self._drop(worker) | self._set_claims(worker, claims)

    def _drop(self, worker: str) -> set[str]:
        """Returns the names that it changed."""
        names = {report.name for report in self._reports.pop(worker, ())}
        for name in names:
            self._roots[name].drop(worker)
        return names

    def _entry(self, name: str) -> _Entry:
        return self._roots.setdefault(name, _Entry())

    def _set_claims(self, worker: str, claims: tuple[Claim, ...]) -> set[str]:
        """Returns the names that it changed."""
        former = self._away.pop(worker, ())
        for claim in former:
            self._roots[claim.report.name].stop_waiting(worker)
        for claim in claims:
            self._entry(claim.report.name).wait_for(worker, claim)
        if claims:
            self._away[worker] = claims
        return {claim.report.name for claim in (*former, *claims)}

    # -- who is away ------------------------------------------------------------------------

    @property
    def waited_for(self) -> Mapping[str, tuple[Claim, ...]]:
        """Workers that are away whose folders are not another's all the same, as of now."""
        return dict(self._away)

    def recall(
        self, asked: Mapping[str, tuple[Claim, ...]], records: Iterable[WorkerRecord]
    ) -> bool:
        """What the store knew of workers that are away, when `asked` were those waited for: which
        comes back first is chance, and it gets no work on a root that is another's. Who is not
        there was removed: its names may mean other folders now. Says whether anything changed."""
        absent = {each.name: each for each in records if each.name not in self._reports}
        found, has_changed = self._claims_of(absent), False
        for name in asked.keys() | absent.keys():
            if self._away.get(name) is not asked.get(name):
                continue  # it came or went meanwhile: what was read is older
            claims = found.get(name, ())
            if claims != self._away.get(name, ()):
                self._reported |= self._set_claims(name, claims)
                has_changed = True
        return has_changed

    def _claims_of(self, absent: Mapping[str, WorkerRecord]) -> dict[str, tuple[Claim, ...]]:
        """As if all were here with what they reported last, wherever that was."""
        if not absent:
            return {}
        reports = self._reports | {name: each.capabilities.roots for name, each in absent.items()}
        refused = refused_roots(reports)
        contested = contested_roots(reports, refused)
        found = {}
        for name, each in absent.items():
            rivals = contested if each.alive else contested | self._rivals_of(name)
            claims = claims_of(reports[name], refused[name], rivals, lost=each.lost)
            found[name] = tuple(replace(claim, alive=each.alive) for claim in claims)
        return found

    def _rivals_of(self, worker: str) -> dict[str, frozenset[str]]:
        """Of one that said goodbye: those it had then. Whoever came since may have its folder."""
        claims = self._away.get(worker, ())
        return {each.report.name: each.rivals for each in claims if each.rivals is not None}

    def know(self, names: Iterable[str]) -> None:
        """Of workers that are away: a job may wait for them."""
        self._known.update(names)

    def forget(self) -> None:
        """All but the roots of workers that are here."""
        self._refused_last.clear()
        self._known = {each.name for reports in self._reports.values() for each in reports}

    # -- what is asked ----------------------------------------------------------------------

    def settle(self) -> AbstractSet[str]:
        """Workers of which other roots may be refused than when this was last asked."""
        self._judge_all()
        changed, self._changed = self._changed, set()
        return changed

    def refused(self, worker: str) -> Mapping[str, str]:
        """Those that get no work there, and why."""
        self._judge_all()
        return self._refused(worker)

    def refused_last(self, worker: str) -> Mapping[str, str]:
        """Of a worker that is away: those that were when it left."""
        return self._refused_last.get(worker, {})

    @property
    def known(self) -> AbstractSet[str]:
        """Of every worker that ever connected."""
        return self._known

    @property
    def useless(self) -> Mapping[str, str]:
        """Those that get no work on any worker that has them, and one of the reasons."""
        self._judge_all()
        found = ((name, root.why_nowhere) for name, root in self._roots.items())
        return {name: why for name, why in found if why}

    def _refused(self, worker: str) -> dict[str, str]:
        found = ((name, self._roots[name].why_not(worker)) for name in self._names_of(worker))
        return {name: why for name, why in found if why}

    def _names_of(self, worker: str) -> list[str]:
        return [report.name for report in self._reports.get(worker, ())]

    def _judge_all(self) -> None:
        self._judge(self._reported)
        self._judge(self._left)

    def _judge(self, names: set[str]) -> None:
        for name in names:
            if (entry := self._roots.get(name)) is None:
                continue
            self._changed |= entry.judge()
            if not (entry.here or entry.bad or entry.away):
                del self._roots[name]
        names.clear()
