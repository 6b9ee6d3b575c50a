"""A newer peer knows words that this build does not: they are `unknown`, and break nothing."""

import pytest

from ffrtmp.cli import overview, settings, sla, workers
from ffrtmp.cli.attempts import Attempts
from ffrtmp.cli.explain import show_explanation
from ffrtmp.cli.follow import event_line
from ffrtmp.cli.top_view import View, draw
from ffrtmp.client import JobFailed
from ffrtmp.clock import utc_now
from ffrtmp.config import ClientSettings
from ffrtmp.domain.waiting import Obstacle
from ffrtmp.rpc import enums
from ffrtmp.rpc.enums import Twins
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from ffrtmp.v1 import job_pb2
from ffrtmp.v1 import job_service_pb2 as pb

NEWER = 99
TWINS = {name: value for name, value in vars(enums).items() if isinstance(value, Twins)}


@pytest.mark.parametrize("name", TWINS)
def test_every_enum_shows_what_it_knows_and_calls_the_rest_unknown(name):
    twins = TWINS[name]
    assert [twins.shown(twins.to_wire(member)) for member in twins.table] == list(twins.table)
    assert (twins.shown(0), twins.shown(NEWER)) == ("unknown", "unknown")


def test_the_overview_and_the_live_view_are_shown(capsys):
    newer = admin_pb.Worker(name="w1", state=NEWER)
    seen = admin_pb.GetOverviewResponse(
        workers=[admin_pb.WorkerCount(state=NEWER, workers=2)],
        jobs=[admin_pb.JobCount(state=NEWER, jobs=3)],
    )
    text = "\n".join(overview._lines(seen, admin_pb.GetStoreResponse(kind="SQLite")))
    assert ("workers  2 unknown" in text, "jobs     3 unknown" in text) == (True, True)
    job = job_pb2.Job(job_id="J", state=NEWER, priority=NEWER)
    view = View(workers=[newer], held=[job], ended=[job])
    text = "\n".join(map(str, draw(view, "h:1", utc_now(), width=80, height=None)))
    assert text.count("unknown") == 3
    workers._show(newer, {})
    assert "worker w1: unknown" in capsys.readouterr().out


def test_a_job_its_history_and_why_it_waits_are_shown(capsys):
    event = job_pb2.JobEvent(cause=NEWER, state=NEWER, reason=NEWER, actor="master")
    assert "unknown (unknown by master)" in event_line(event, Attempts({}))
    show_explanation("J", pb.ExplainJobResponse(reason=NEWER, detail="d"))
    assert "job J: unknown: d" in capsys.readouterr().out
    assert str(JobFailed(job_pb2.Job(job_id="J", state=NEWER))) == "job J unknown"


def test_workers_are_counted_by_what_keeps_them_from_a_job(capsys):
    label, away = (enums.OBSTACLES.to_wire(each) for each in (Obstacle.LABEL, Obstacle.AWAY))
    seen = [pb.WorkerVerdict(worker=f"w{n}", obstacle=label) for n in range(2)]
    seen.append(pb.WorkerVerdict(worker="w3", obstacle=away))
    show_explanation("J", pb.ExplainJobResponse(workers=seen))
    assert "workers: 2 without its labels, 1 away\n" in capsys.readouterr().out


def test_the_promises_and_the_accounts_of_service_are_shown(capsys):
    found = admin_pb.GetSlaResponse(
        targets=[admin_pb.SlaTarget(queue=NEWER)],
        accounts=[admin_pb.SlaAccount(queue=NEWER, purpose=NEWER)],
    )
    assert "waits    at most 0 s in unknown" in list(sla._promises(found))
    sla._print_accounts(found)
    assert "unknown\tunknown\t-" in capsys.readouterr().out


def test_the_settings_of_a_running_master_are_shown(monkeypatch, capsys):
    class Newer:
        async def settings(self):
            return [admin_pb.Setting(name="new_one", value="1", origin=NEWER)]

    def with_client(_settings, work):
        coroutine = work(Newer())
        with pytest.raises(StopIteration) as ended:
            coroutine.send(None)
        return ended.value.value

    monkeypatch.setattr(settings, "with_client", with_client)
    assert settings.running(settings=ClientSettings()) == 0
    assert "master\tnew-one\t1\tunknown" in capsys.readouterr().out
