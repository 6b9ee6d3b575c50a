"""Labels of workers and those that jobs ask for: what is one, and what is said of those missing."""

import pytest

from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.labels import check_labels, lacks, nobody_has, parse_labels, written

GOOD = ("a", "7", "eu-west-1", "A.b_c-9", "x" * 63)


@pytest.mark.parametrize("word", GOOD)
def test_a_word_of_the_alphabet_is_a_key_and_a_value(word: str):
    check_labels({word: word}, "labels")


@pytest.mark.parametrize(
    "word",
    ["", "x" * 64, "-a", "a-", ".a", "a.", "_a", "a_", "a b", "a=b", "a,b", "a/b", "é", "٣", "a\n"],
)
def test_any_other_word_is_neither_key_nor_value(word: str):
    right = "1 to 63 letters, digits, '.', '_' and '-', a letter or digit at both ends"
    with pytest.raises(InvalidSpec, match="a key has") as refused:
        check_labels({word: "good"}, "labels")
    assert (refused.value.field, refused.value.value) == ("labels", word)
    assert refused.value.expected == f"a key has {right}"
    with pytest.raises(InvalidSpec, match="a value has") as refused:
        check_labels({"key": word}, "labels")
    assert (refused.value.field, refused.value.value) == ("labels.key", word)


def test_a_huge_word_is_not_repeated_whole():
    with pytest.raises(InvalidSpec) as refused:
        check_labels({"k" * 60_000: "v"}, "labels")
    assert len(str(refused.value)) < 300


def test_64_labels_are_taken_and_not_one_more():
    most = {f"k{number}": "v" for number in range(64)}
    check_labels(most, "labels")
    with pytest.raises(InvalidSpec, match="labels: 65 is not valid: at most 64 labels"):
        check_labels(most | {"one": "more"}, "labels")


def test_keys_of_the_cluster_itself_are_reserved():
    with pytest.raises(InvalidSpec, match=r"keys that begin with ffrtmp\. are reserved"):
        check_labels({"ffrtmp.cores": "8"}, "labels")
    check_labels({"ffrtmp": "mine"}, "labels")


def test_labels_are_written_as_they_are_read():
    found = parse_labels(["zone=eu,gpu=none", "rack=7"], "label")
    assert found == {"zone": "eu", "gpu": "none", "rack": "7"}
    assert written(found) == ["gpu=none", "rack=7", "zone=eu"]
    assert parse_labels([",".join(written(found))], "label") == found
    assert parse_labels([], "label") == {}


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["zone"], "label: 'zone' is not valid: write KEY=VALUE, for example zone=eu"),
        (["zone=eu,"], "label: '' is not valid: write KEY=VALUE"),
        (["zone="], "label.zone: '' is not valid: a value has 1 to 63"),
        (["=eu"], "label: '' is not valid: a key has 1 to 63"),
        (["a=b=c"], "label.a: 'b=c' is not valid: a value has"),
        (["zone=eu", "zone=us"], "label: 'zone=us' is not valid: zone is given twice"),
    ],
)
def test_what_cannot_be_read_says_what_would_be_right(texts, why):
    with pytest.raises(InvalidSpec) as refused:
        parse_labels(texts, "label")
    assert str(refused.value).startswith(why)


def test_a_worker_that_lacks_a_label_is_told_what_is_required_and_what_it_has():
    has = {"zone": "us", "rack": "7"}
    assert lacks({}, has) == ""
    assert lacks({"rack": "7"}, has) == ""
    assert lacks({"zone": "eu"}, has) == "zone=eu is required, it has zone=us"
    assert lacks({"rack": "7", "zone": "eu", "gpu": "none"}, has) == (
        "gpu=none is required, it has no label gpu; zone=eu is required, it has zone=us"
    )


def test_of_a_fleet_the_labels_that_nobody_has_are_told():
    fleet = [{"zone": "eu"}, {"zone": "us", "gpu": "none"}]
    assert nobody_has({"zone": "us", "gpu": "none"}, fleet) == ""
    assert nobody_has({"zone": "ap"}, fleet) == "no connected worker has the label zone=ap"
    assert nobody_has({"zone": "ap", "rack": "1"}, fleet) == (
        "no connected worker has the label rack=1 or zone=ap"
    )
    assert nobody_has({"zone": "eu", "gpu": "none"}, fleet) == (
        "no connected worker has all of the labels gpu=none, zone=eu"
    )
    assert nobody_has({"zone": "eu"}, []) == "no connected worker has the label zone=eu"
