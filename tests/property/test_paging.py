"""Page tokens: they lead on from where a page ended, and are good for their own filter only."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffrtmp.domain.errors import InvalidArgument, InvalidPageToken
from ffrtmp.domain.job import JobState
from ffrtmp.master.paging import DEFAULT_PAGE, LARGEST_PAGE, key_from, page_size, token_after
from ffrtmp.store.records import JobFilter, PageKey

moments = st.integers(0, 10**17).map(lambda n: datetime.fromtimestamp(0, UTC) + timedelta(0, 0, n))
job_ids = st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=26, max_size=26)
keys = st.builds(PageKey, moments, job_ids)
filters = st.builds(
    JobFilter,
    states=st.frozensets(st.sampled_from(JobState), max_size=2),
    worker=st.sampled_from(["", "w1", "w2"]),
    submitted_after=st.none() | moments,
    submitted_before=st.none() | moments,
)


@given(key=keys, wanted=filters)
def test_a_token_leads_back_to_its_key(key, wanted):
    assert key_from(token_after(key, wanted), wanted) == key


@given(key=keys, made_for=filters, used_for=filters)
def test_a_token_is_good_for_its_own_filter_only(key, made_for, used_for):
    token = token_after(key, made_for)
    if made_for == used_for:
        assert key_from(token, used_for) == key
    else:
        with pytest.raises(InvalidPageToken, match="it belongs to another filter"):
            key_from(token, used_for)


EPOCH = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))


def test_no_token_is_the_first_page():
    assert key_from("", JobFilter()) is None


@given(token=st.text(min_size=1))
def test_a_token_that_is_not_ours_is_refused_and_never_makes_us_fail(token):
    with pytest.raises(InvalidPageToken):
        key_from(token, JobFilter())


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(max_size=3), parts),
    max_leaves=6,
)


@given(value=values | st.lists(values | st.just("2026-01-01T00:00:00"), min_size=3, max_size=3))
@settings(max_examples=300)
def test_a_token_of_other_contents_is_refused(value):
    token = base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
    with pytest.raises(InvalidPageToken):
        key_from(token, JobFilter())


@given(key=keys, cut=st.integers(1, 30))
def test_a_cut_token_is_refused(key, cut):
    with pytest.raises(InvalidPageToken):
        key_from(token_after(key, JobFilter())[:-cut], JobFilter())


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_at_the_end_of_time_is_refused(moment):
    """Its moment in UTC does not exist."""
    mark = json.loads(base64.urlsafe_b64decode(token_after(PageKey(EPOCH, "x"), JobFilter())))[2]
    token = base64.urlsafe_b64encode(json.dumps([moment, "x", mark]).encode()).decode()
    with pytest.raises(InvalidPageToken):
        key_from(token, JobFilter())


def test_a_token_of_endless_depth_is_refused():
    token = base64.urlsafe_b64encode(b"[" * 100_000).decode()
    with pytest.raises(InvalidPageToken):
        key_from(token, JobFilter())


@pytest.mark.parametrize(("asked", "size"), [(0, DEFAULT_PAGE), (1, 1), (1000, LARGEST_PAGE)])
def test_a_page_has_the_size_asked_for(asked, size):
    assert page_size(asked) == size


@pytest.mark.parametrize("asked", [-1, 1001])
def test_a_page_that_is_too_large_is_refused(asked):
    with pytest.raises(InvalidArgument, match="1 to 1000; 0 means 100"):
        page_size(asked)
