"""Every rule of the judge is seen to fail: on sound evidence it is silent, on doctored not."""

import copy
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ffrtmp.sim.chaos import evidence as kept
from ffrtmp.sim.chaos.checker import CARRIED, RULES, check
from ffrtmp.sim.chaos.evidence import Evidence, read
from ffrtmp.sim.chaos.report import judge

START = datetime(2026, 1, 1, tzinfo=UTC)
BOOT = 1000.0


def event(number, cause, state, fence=0, worker="", actor="master", charged=0, **more):  # noqa: PLR0917
    when = START + timedelta(seconds=number)
    line = {
        "number": str(number),
        "event_time": when.isoformat().replace("+00:00", "Z"),
        "actor": actor,
        "cause": f"JOB_CAUSE_{cause}",
        "state": f"JOB_STATE_{state}",
        "fence": str(fence),
        "worker": worker,
        "charged": charged,
        **more,
    }
    return {name: value for name, value in line.items() if value not in {"", 0, "0"}}


def job(name, events, *, target=None, url="", files=(), **row):
    """The row that the events make, and what is said of it otherwise."""
    last = events[-1]
    times = {event["cause"]: event["event_time"] for event in events}
    ended = [
        e for e in events if e["state"].rpartition("_")[2] in {"SUCCEEDED", "FAILED", "CANCELLED"}
    ]
    output = {"url": url} if url else {"path": target or f"sim:{name}.mkv"}
    found = {
        "job_id": name,
        "spec": {"input": {"path": f"sim:{name}-1s.mkv"}, "outputs": [output]},
        "state": last["state"],
        "event_number": last["number"],
        "submit_time": events[0]["event_time"],
        "attempts": sum(e["cause"] == "JOB_CAUSE_ACCEPTED" for e in events),
        **{key: last[key] for key in ("fence", "worker", "charged", "blocked_by") if key in last},
    }
    if "JOB_CAUSE_ACCEPTED" in times:
        found["start_time"] = times["JOB_CAUSE_ACCEPTED"]
    if ended:
        found["end_time"] = ended[0]["event_time"]
    if files:
        found["files"] = [{"path": path, "sha256": sha256} for path, sha256 in files]
    if last.get("reason"):
        found["failure"] = {"reason": last["reason"]}
    return {"job": found | row, "events": events}


def attempt(first, worker, fence=1, *, charged=0):
    """Granted and accepted."""
    return [
        event(first, "GRANTED", "LEASED", fence, worker, charged=charged),
        event(first + 1, "ACCEPTED", "RUNNING", fence, worker, f"worker/{worker}", charged),
    ]


def ending(first, worker, fence=1, *, charged=0):
    """Staged and published."""
    who = f"worker/{worker}"
    return [
        event(first, "STAGED", "PUBLISHING", fence, worker, who, charged),
        event(first + 1, "PUBLISHED", "SUCCEEDED", fence, worker, who, charged),
    ]


SUBMITTED = event(1, "SUBMITTED", "QUEUED", actor="client/c1")


def lost(number, worker, fence=1, **more):
    return event(
        number,
        "LOST",
        "QUEUED",
        fence,
        worker,
        charged=1,
        reason="FAILURE_REASON_WORKER_LOST",
        **more,
    )


def done_job(name="plain", worker="f1-0001", **more):
    return job(
        name,
        [SUBMITTED, *attempt(2, worker), *ending(4, worker)],
        **{"files": [(f"sim:{name}.mkv", name)], **more},
    )


def moved_job():
    """Lost once, then done by another."""
    events = [SUBMITTED, *attempt(2, "f1-0001"), lost(4, "f1-0001")]
    events += [*attempt(5, "f2-0001", 2, charged=1), *ending(7, "f2-0001", 2, charged=1)]
    return job("moved", events, files=[("sim:moved.mkv", "moved")])


def cancelled_job():
    cancel = event(2, "CANCELLED", "CANCELLED", actor="client/c1")
    return job("gone", [SUBMITTED, cancel])


def live_job(name, worker):
    events = [SUBMITTED, *attempt(2, worker)]
    events.append(event(4, "PUBLISHED", "SUCCEEDED", 1, worker, f"worker/{worker}"))
    return job(name, events, url="rtmp://h/live/***")


def blocked_job():
    """A live push whose worker was lost; it waited for the lease, then went on elsewhere."""
    events = [SUBMITTED, *attempt(2, "f1-0002"), lost(4, "f1-0002", blocked_by="f1-0002")]
    events.append(event(5, "UNBLOCKED", "QUEUED", 1, "f1-0002", charged=1))
    events += attempt(6, "f2-0002", 2, charged=1)
    events.append(event(8, "PUBLISHED", "SUCCEEDED", 2, "f2-0002", "worker/f2-0002", 1))
    return job("blocked", events, url="rtmp://h/live/***")


def real_job():
    files = [("media:real.mkv", "bytes")]
    found = done_job("real", "r1", target="media:real.mkv", files=files)
    found["job"]["spec"]["input"] = {"test_source": {}}
    return found


def failed_job():
    events = [SUBMITTED, *attempt(2, "r1")]
    reason = "FAILURE_REASON_FFMPEG_FAILED"
    events.append(event(4, "FAILED", "FAILED", 1, "r1", "worker/r1", reason=reason))
    return job("broken", events, target="media:broken.mkv")


def did(at, worker, what, job_id, fence=1, **more):
    return {
        "at": BOOT + at,
        "worker": worker,
        "did": what,
        "job_id": job_id,
        "fence": fence,
        **more,
    }


def told(did_what, job_id="", **more):
    return {"at": BOOT, "client": "c1", "did": did_what, "job_id": job_id, **more}


def submissions(jobs):
    for line in jobs:
        name, spec = line["job"]["job_id"], line["job"]["spec"]
        url = spec["outputs"][0].get("url")
        target = "rtmp://h/live/one" if url else spec["outputs"][0]["path"]
        source = spec["input"].get("path", "")
        yield told("submitting", key=name, source=source, target=target)
        yield told("acknowledged", name, key=name, target=target)


def later(line, seconds):
    """The same, so much later."""
    line = copy.deepcopy(line)
    for place in (line["job"], *line["events"]):
        for name in [name for name in place if name.endswith("_time")]:
            when = datetime.fromisoformat(place[name]) + timedelta(seconds=seconds)
            place[name] = when.isoformat()
    return line


def sound() -> Evidence:
    """A little of everything, as it should be: no worker has two jobs at a time."""
    jobs = [done_job(), moved_job(), cancelled_job(), blocked_job(), real_job(), failed_job()]
    jobs.append(live_job("push", "f1-0003"))
    jobs = [later(line, 20 * number) for number, line in enumerate(jobs)]
    saw = {"number": 4, "state": "QUEUED", "fence": 1, "charged": 1, "worker": "f1-0001"}
    watch = [
        told("watched", "gone", number=1, cause="SUBMITTED", state="QUEUED", fence=0),
        told("watched", "gone", number=2, cause="CANCELLED", state="CANCELLED", fence=0),
        told("watched to the end", "gone"),
    ]
    workers = [
        did(1, "f1-0001", "began", "plain"),
        did(2, "f1-0001", "staged", "plain", sha256="plain"),
        did(3, "f1-0001", "published", "plain", sha256="plain"),
        did(4, "f1-0001", "began", "moved"),
        did(8, "f2-0001", "began", "moved", 2),
        did(9, "f2-0001", "staged", "moved", 2, sha256="moved"),
        did(10, "f2-0001", "published", "moved", 2, sha256="moved"),
        did(11, "f1-0002", "began", "blocked"),
        did(20, "f1-0002", "fenced", "blocked", until=BOOT + 14),
        did(16, "f2-0002", "began", "blocked", 2),
        did(17, "f2-0002", "sent", "blocked", 2),
        did(18, "f1-0003", "began", "push"),
        did(19, "f1-0003", "sent", "push"),
    ]
    return Evidence(
        run={
            "seed": 1,
            "minutes": 1,
            "store": "sqlite",
            "machine": "here",
            "began_at": BOOT,
            "ended_at": BOOT + 100,
            "can_mount": True,
            "mount_problem": "",
            "members": {
                "f1": ["f1-0001", "f1-0002", "f1-0003"],
                "f2": ["f2-0001", "f2-0002"],
                "r1": ["r1"],
            },
            "slots": dict.fromkeys(
                ["f1-0001", "f1-0002", "f1-0003", "f2-0001", "f2-0002", "r1"], 1
            ),
        },
        clients=[
            *submissions(jobs),
            told("saw", "moved", **saw),
            told("cancelling", "gone"),
            told("cancelled", "gone"),
            *watch,
        ],
        workers=sorted(workers, key=lambda line: line["at"]),
        injections=[
            {"at": BOOT + 6, "did": "killed", "who": "f1", "since": BOOT + 5.9, "workers": 3},
            {"at": BOOT + 21, "did": "frozen", "who": "f1", "since": BOOT + 12},
        ],
        jobs={line["job"]["job_id"]: line for line in jobs},
        after_restart={line["job"]["job_id"]: copy.deepcopy(line) for line in jobs},
        files={"media:real.mkv": "bytes"},
    )


def worker_lines(evidence, job_id, what):
    return [w for w in evidence.workers if (w["job_id"], w["did"]) == (job_id, what)]


DOCTORED = {}


def doctors(rule):
    """The decorated function spoils sound evidence so that `rule` must be found broken."""

    def keep(spoil):
        DOCTORED[spoil.__name__] = (rule, spoil)
        return spoil

    return keep


def replace_events(evidence, name, events, **row):
    """Row and events say the same, so that only one rule is broken."""
    old = evidence.jobs[name]["job"]
    output = old["spec"]["outputs"][0]
    new = job(name, events, target=output.get("path"), url=output.get("url", ""), **row)
    new["job"]["spec"] = old["spec"]
    evidence.jobs[name] = new
    evidence.after_restart[name] = copy.deepcopy(new)


@doctors("I1")
def an_end_after_the_end(evidence):
    events = [*cancelled_job()["events"], event(3, "CANCELLED", "CANCELLED", actor="client/c1")]
    replace_events(evidence, "gone", events)


@doctors("I1")
def an_acknowledged_job_is_gone(evidence):
    del evidence.jobs["gone"], evidence.after_restart["gone"]


@doctors("I1")
def a_restart_forgot_an_end(evidence):
    evidence.after_restart["gone"] = job("gone", [SUBMITTED])


@doctors("I2")
def a_fence_falls(evidence):
    events = copy.deepcopy(evidence.jobs["moved"]["events"])
    for each in events[4:]:
        each["fence"] = "1"
    replace_events(evidence, "moved", events, files=[("sim:moved.mkv", "moved")])


@doctors("I2")
def a_fence_jumps_without_a_grant(evidence):
    events = copy.deepcopy(evidence.jobs["plain"]["events"])
    for each in events[3:]:
        each["fence"] = "2"
    replace_events(evidence, "plain", events, files=[("sim:plain.mkv", "plain")])


@doctors("I3")
def a_result_of_another_worker_counts(evidence):
    evidence.jobs["moved"]["events"][6]["actor"] = "worker/f1-0001"


@doctors("I3")
def another_worker_publishes(evidence):
    evidence.jobs["plain"]["events"][4]["worker"] = "f2-0001"


@doctors("I3")
def a_stale_attempt_publishes(evidence):
    evidence.workers.append(did(11, "f1-0001", "published", "moved", sha256="moved"))


@doctors("I4")
def a_job_is_published_out_of_turn(evidence):
    events = copy.deepcopy(evidence.jobs["plain"]["events"])
    del events[3]
    events[3]["number"] = "4"
    replace_events(evidence, "plain", events, files=[("sim:plain.mkv", "plain")])


@doctors("I4")
def a_cancel_while_publishing(evidence):
    events = copy.deepcopy(evidence.jobs["plain"]["events"])
    events[4] = event(5, "CANCELLED", "CANCELLED", 1, "f1-0001", "client/c1")
    replace_events(evidence, "plain", events)


@doctors("I5")
def a_job_is_held_for_ever(evidence):
    replace_events(evidence, "broken", evidence.jobs["broken"]["events"][:3])


@doctors("I5")
def a_block_stays_for_ever(evidence):
    cancel = event(5, "CANCELLED", "CANCELLED", 1, "f1-0002", "client/c1", 1, blocked_by="f1-0002")
    replace_events(evidence, "blocked", [*evidence.jobs["blocked"]["events"][:4], cancel])


@doctors("I6")
def a_job_waits_for_ever(evidence):
    replace_events(evidence, "gone", evidence.jobs["gone"]["events"][:1])


@doctors("I7")
def a_worker_gets_more_than_its_slots(evidence):
    twin = later(evidence.jobs["real"], 0.5)
    evidence.jobs["late"] = twin | {"job": twin["job"] | {"job_id": "late"}}


@doctors("I7")
def a_worker_runs_more_than_its_slots(evidence):
    evidence.workers.insert(2, did(1.5, "f1-0001", "began", "moved", 7))


@doctors("I8")
def two_run_on_one_stream(evidence):
    worker_lines(evidence, "push", "began")[0]["at"] = BOOT + 16.5


@doctors("I8")
def a_thawed_run_goes_on_beside_the_new_one(evidence):
    evidence.injections[1]["at"] = BOOT + 13
    worker_lines(evidence, "blocked", "fenced")[0]["until"] = BOOT + 20


@doctors("I8")
def a_blocked_job_is_granted(evidence):
    events = copy.deepcopy(evidence.jobs["blocked"]["events"])
    del events[4]
    for number, each in enumerate(events, 1):
        each["number"] = str(number)
    replace_events(evidence, "blocked", events)


@doctors("I9")
def an_attempt_is_charged_twice(evidence):
    events = copy.deepcopy(evidence.jobs["moved"]["events"])
    for each in events[3:]:
        each["charged"] = 2
    replace_events(evidence, "moved", events, files=[("sim:moved.mkv", "moved")])


@doctors("I9")
def a_fourth_charge(evidence):
    events = [SUBMITTED]
    for fence in range(1, 5):
        events += attempt(3 * fence - 1, "r1", fence, charged=fence - 1)
        events.append(lost(3 * fence + 1, "r1", fence) | {"charged": fence})
    events[-1]["state"] = "JOB_STATE_FAILED"
    replace_events(evidence, "broken", events)


@doctors("I10")
def a_failure_of_ffmpeg_is_tried_again(evidence):
    events = copy.deepcopy(evidence.jobs["broken"]["events"])
    events[3]["state"] = "JOB_STATE_QUEUED"
    events += attempt(5, "r1", 2)
    events.append(event(7, "FAILED", "FAILED", 2, "r1", "worker/r1", reason=events[3]["reason"]))
    replace_events(evidence, "broken", events)


@doctors("I11")
def a_cancel_is_forgotten(evidence):
    evidence.clients.append(told("cancelled", "plain"))


@doctors("I11")
def nobody_asked_for_a_cancel(evidence):
    evidence.clients[:] = [c for c in evidence.clients if c["did"] != "cancelling"]


@doctors("I12")
def a_result_counts_twice(evidence):
    events = copy.deepcopy(evidence.jobs["plain"]["events"])
    events.append(event(6, "PUBLISHED", "SUCCEEDED", 1, "f1-0001", "worker/f1-0001"))
    replace_events(evidence, "plain", events, files=[("sim:plain.mkv", "plain")])


@doctors("I12")
def one_key_makes_two_jobs(evidence):
    evidence.clients.append(told("acknowledged", "moved", key="plain", target="sim:plain.mkv"))


@doctors("I12")
def a_job_is_there_twice(evidence):
    twin = copy.deepcopy(evidence.jobs["plain"])
    twin["job"]["job_id"] = "twin"
    evidence.jobs["twin"] = twin


@doctors("I12")
def a_job_that_nobody_submitted(evidence):
    evidence.clients[:] = [
        c for c in evidence.clients if (c["did"], c.get("key")) != ("submitting", "plain")
    ]


@doctors("I12")
def a_refused_job_is_there(evidence):
    for line in evidence.clients:
        if (line["did"], line.get("key")) == ("acknowledged", "plain"):
            line["did"] = "refused"


@doctors("I12")
def a_key_is_said_to_have_another_body(evidence):
    evidence.clients.append(told("contradicted", key="plain", why="used for another job"))


@doctors("I12")
def a_run_publishes_twice(evidence):
    evidence.workers.append(did(10.5, "f2-0001", "published", "moved", 2, sha256="moved"))


@doctors("I13")
def other_bytes_are_published(evidence):
    worker_lines(evidence, "moved", "published")[0]["sha256"] = "other"


@doctors("I13")
def it_publishes_without_leave(evidence):
    evidence.workers.append(did(3.5, "f1-0001", "published", "plain", 9, sha256="plain"))


@doctors("I13")
def a_success_that_nobody_published(evidence):
    evidence.workers.remove(worker_lines(evidence, "plain", "published")[0])


@doctors("I13")
def a_push_that_nobody_sent(evidence):
    worker_lines(evidence, "push", "sent")[0]["did"] = "stopped"


@doctors("I13")
def a_cancelled_job_is_published(evidence):
    evidence.workers.append(did(5, "f1-0001", "published", "gone", 0, sha256="gone"))


@doctors("I13")
def a_file_is_not_there(evidence):
    evidence.files.clear()


@doctors("I13")
def a_file_has_other_bytes(evidence):
    evidence.files["media:real.mkv"] = "other"


@doctors("I13")
def a_failed_job_left_its_file(evidence):
    evidence.files["media:broken.mkv"] = "half"


@doctors("I15")
def a_restart_changes_a_job(evidence):
    evidence.after_restart["plain"]["job"]["attempts"] = 2


@doctors("I15")
def a_job_comes_with_a_restart(evidence):
    del evidence.jobs["gone"]


@doctors("I16")
def an_event_is_missing(evidence):
    del evidence.jobs["plain"]["events"][1]


@doctors("I16")
def a_row_is_not_what_its_events_make(evidence):
    evidence.jobs["moved"]["job"]["charged"] = 0


@doctors("I16")
def a_client_saw_what_is_not_so_any_more(evidence):
    [saw] = [c for c in evidence.clients if c["did"] == "saw"]
    saw["state"] = "RUNNING"


@doctors("I16")
def a_client_saw_an_event_that_is_gone(evidence):
    [saw] = [c for c in evidence.clients if c["did"] == "saw"]
    saw["number"] = 99


@doctors("I16")
def a_watch_misses_an_event(evidence):
    first = next(c for c in evidence.clients if c["did"] == "watched")
    evidence.clients.remove(first)


@doctors("I16")
def a_watched_event_was_changed(evidence):
    next(c for c in evidence.clients if c["did"] == "watched")["cause"] = "GRANTED"


@doctors("I16")
def a_watch_ends_before_its_job(evidence):
    last = [c for c in evidence.clients if c["did"] == "watched"][-1]
    evidence.clients.remove(last)


@doctors("process")
def a_process_ends_by_itself(evidence):
    evidence.injections.append(
        {"at": BOOT + 30, "did": "ended", "who": "f1", "code": 1, "why": "ValueError: nothing"}
    )


def test_sound_evidence_is_judged_sound():
    assert check(sound()) == []


@pytest.mark.parametrize("name", DOCTORED)
def test_doctored_evidence_is_found_out(name):
    rule, spoil = DOCTORED[name]
    evidence = sound()
    spoil(evidence)
    assert rule in {violation.rule for violation in check(evidence)}


def test_every_rule_was_seen_to_fail():
    seen = set()
    for rule, spoil in DOCTORED.values():
        evidence = sound()
        spoil(evidence)
        seen |= {each.name for each in RULES if any(v.rule == rule for v in each.check(evidence))}
    assert seen == {each.name for each in RULES}


def test_it_is_said_of_every_invariant_what_it_is_judged_by():
    assert list(CARRIED) == [f"I{number}" for number in range(1, 17)]
    judged = {each.name.split()[0] for each in RULES}
    assert {name for name, by in CARRIED.items() if not by.startswith("not carried")} <= {
        *judged,
        "I6",  # in one rule with I5
    }


def test_a_cancel_that_waited_for_its_turn_ends_what_was_granted_meanwhile():
    """Its time is when it was decided: before the grant that was committed first."""
    evidence = sound()
    grant = event(2, "GRANTED", "LEASED", 1, "r1")
    cancel = event(3, "CANCELLED", "CANCELLED", 1, "r1", "client/c1")
    cancel["event_time"] = SUBMITTED["event_time"]
    evidence.clients[:] = [c for c in evidence.clients if not c["did"].startswith("watched")]
    replace_events(evidence, "gone", [SUBMITTED, grant, cancel])
    assert check(evidence) == []


def test_a_refused_twin_may_end():
    evidence = sound()
    why = "worker 'r1' is already connected from 127.0.0.1:1"
    evidence.injections.append(
        {"at": BOOT + 30, "did": "ended", "who": "r1", "code": 3, "why": why}
    )
    assert check(evidence) == []


def write(evidence: Evidence, folder: Path) -> None:
    (folder / kept.RUN).write_text(json.dumps(evidence.run))
    kept.write(folder / kept.CLIENTS, evidence.clients)
    kept.write(folder / "fleet-f1.jsonl", evidence.workers)
    kept.write(folder / kept.INJECTIONS, evidence.injections)
    kept.write(folder / kept.JOBS, evidence.jobs.values())
    kept.write(folder / kept.AFTER_RESTART, evidence.after_restart.values())
    files = [{"path": path, "sha256": sha256} for path, sha256 in evidence.files.items()]
    kept.write(folder / kept.FILES, files)


@pytest.mark.parametrize("name", ["a_stale_attempt_publishes", "a_job_is_held_for_ever"])
def test_a_kept_folder_is_judged_the_same(tmp_path, name):
    evidence = sound()
    DOCTORED[name][1](evidence)
    write(evidence, tmp_path)
    assert set(map(str, check(read(tmp_path)))) == set(map(str, check(evidence)))
    code, text = judge(tmp_path)
    assert code == 1
    assert text.splitlines()[-1] == f"violations: {len(check(evidence))}"


def test_a_sound_run_that_was_too_quiet_does_not_count(tmp_path):
    write(sound(), tmp_path)
    code, text = judge(tmp_path)
    assert code == 3
    assert "too quiet: minute 1: 7 jobs, at least 100 are needed" in text
    assert text.splitlines()[-1] == "violations: 0"
