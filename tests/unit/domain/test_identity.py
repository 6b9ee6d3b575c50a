"""Names of members, as certificates carry them; the text is a stranger's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffrtmp.domain.identity import Peer, Role, is_name, peer_from_uri


@pytest.mark.parametrize("role", Role)
def test_a_peer_survives_the_way_through_its_uri(role):
    peer = Peer("ffrtmp", role, "encoder-1")
    assert peer.uri == f"spiffe://ffrtmp/{role}/encoder-1"
    assert peer_from_uri(peer.uri) == peer
    assert peer.actor == f"{role}/encoder-1"
    assert str(peer) == f"{role} 'encoder-1' of cluster 'ffrtmp'"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://ffrtmp/worker/w1",
        "spiffe://ffrtmp/worker",
        "spiffe://ffrtmp/worker/w1/x",
        "spiffe://ffrtmp/king/w1",
        "spiffe://ffrtmp/worker/W1",
        "spiffe://ffrtmp/worker/../w1",
        "spiffe:///worker/w1",
        "ffrtmp/worker/w1",
    ],
)
def test_a_uri_that_is_not_ours_names_nobody(uri):
    assert peer_from_uri(uri) is None


@given(st.text())
def test_no_text_at_all_makes_it_raise(text):
    peer_from_uri(text)
    peer = peer_from_uri(f"spiffe://{text}")
    assert peer is None or peer.uri == f"spiffe://{text}"


@pytest.mark.parametrize("name", ["a", "a-b", "0", "a" * 63])
def test_these_are_names(name):
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a.b", "a" * 64, "a\n", "é"])
def test_these_are_not(name):
    assert not is_name(name)
