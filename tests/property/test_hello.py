"""Which hello opens a stream. The model knows what is true of the worker's runs, and lists every
reason to refuse and every reason to admit; all cases of a small world are held against it.
"""

from datetime import timedelta
from itertools import product

from ffrtmp.domain.errors import DomainError, HelloOvertaken, NameTaken, NameUnsettled
from ffrtmp.domain.hello import Incumbent, Signs, require_turn
from ffrtmp.domain.messages import Hello
from ffrtmp.domain.worker import Capabilities

INTERVAL = timedelta(seconds=5)
NOTHING = Capabilities(spec_version=1, ffmpeg_version="9", codecs=frozenset())
DIALS = (0, 1, 2, 3)
SILENCES = (0.0, 4.0, 9.9, 10.0, 14.0)
UNTRUE = {("a", "a"), ("b", "b")}
"""No run comes after itself."""

HELLOS = [
    Hello(incarnation=run, previous=previous, dial=dial, capabilities=NOTHING)
    for run, previous, dial in product("ab", ("", "a", "b", "c"), DIALS)
    if (run, previous) not in UNTRUE
]
INCUMBENTS = [
    Incumbent(
        epoch=7, incarnation="a", previous=previous, dial=dial, alive=alive, address="10.0.0.1:5"
    )
    for previous, dial, alive in product(("", "b", "c"), DIALS, (True, False))
]
SIGNS = [
    Signs(broken=broken, lives=lives, silent=timedelta(seconds=silent))
    for broken, lives, silent in product((True, False), (True, False), SILENCES)
]


def expected(hello: Hello, incumbent: Incumbent, signs: Signs) -> type[DomainError] | None:
    numbered = hello.dial and incumbent.dial
    is_late = {
        "its run was read to have ended": incumbent.previous == hello.incarnation,
        "a later dial of its run was read": hello.incarnation == "a"
        and numbered
        and hello.dial < incumbent.dial,
    }
    is_free = {
        "it is its own": hello.incarnation == "a",
        "its owner is known to have ended": hello.previous == "a",
        "its session is over": not incumbent.alive,
        "its stream is known to be broken": signs.broken,
        "nothing was heard for two intervals": signs.silent >= timedelta(seconds=10),
    }
    if any(is_late.values()):
        is_copy = hello.incarnation != "a" and not any(is_free.values()) and signs.lives
        return NameTaken if is_copy else HelloOvertaken
    if any(is_free.values()):
        return None
    return NameTaken if signs.lives else NameUnsettled


def refusal(hello: Hello, incumbent: Incumbent, signs: Signs) -> DomainError | None:
    try:
        require_turn("w1", hello, incumbent, signs, INTERVAL)
    except DomainError as error:
        return error
    return None


def test_every_case_of_a_small_world_is_as_the_model_says():
    seen = set()
    for case in product(HELLOS, INCUMBENTS, SIGNS):
        error = refusal(*case)
        assert (type(error) if error else None) == expected(*case), case
        seen.add(type(error))
    assert seen == {HelloOvertaken, NameTaken, NameUnsettled, type(None)}


def test_who_is_refused_is_told_by_whom_and_for_how_long():
    other = Hello(incarnation="b", capabilities=NOTHING)
    incumbent = Incumbent(epoch=7, incarnation="a", alive=True, address="10.0.0.1:5")
    silent = timedelta(seconds=4)
    lives = refusal(other, incumbent, Signs(broken=False, lives=True, silent=silent))
    assert "already connected from 10.0.0.1:5" in str(lives)
    unsure = refusal(other, incumbent, Signs(broken=False, lives=False, silent=silent))
    assert "if nothing is heard of it in 6 s" in str(unsure)
