"""`configs.cluster`: what TF_CONFIG may say, and how it is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.cluster import EXAMPLE, Cluster, parse_cluster
from configs.errors import ConfigError
from configs.load import cluster_from_environment


def text_of(workers, index=0, kind="worker"):
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": kind, "index": index}})


def test_the_first_worker_is_the_chief():
    assert parse_cluster(EXAMPLE) == Cluster(("a:2222", "b:2222"), 0)
    assert parse_cluster(EXAMPLE).is_chief
    assert not parse_cluster(text_of(["a:1", "b:1"], 1)).is_chief


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is '', expected JSON"),
        ("[]", r"it is \[\], expected an object of cluster and task"),
        (text_of([]), r"cluster.worker is \[\], expected a list of host:port"),
        (text_of(["a"]), "cluster.worker is 'a', expected host:port"),
        (text_of(["a:0"]), "'a:0', expected host:port with a port from 1 to 65535"),
        (text_of(["a:65536"]), "'a:65536', expected host:port with a port from 1 to 65535"),
        (text_of([7]), "cluster.worker is 7"),
        (text_of(["a:1", "a:1"]), "expected no address twice"),
        (text_of(["a:1"], 1), "task.index is 1, expected an integer from 0 to 0"),
        (text_of(["a:1"], True), "task.index is True"),
        (text_of(["a:1"], "0"), "task.index is '0'"),
        (text_of(["a:1"], kind="ps"), "task.type is 'ps', expected 'worker'"),
        ('{"cluster": {"worker": ["a:1"]}}', "expected an object of cluster and task"),
        (EXAMPLE.replace(', "index": 0', ""), "task is .* expected an object of type and index"),
        (EXAMPLE.replace('"worker":', '"chief":'), "cluster is .* expected an object of worker"),
    ],
)
def test_what_tensorflow_would_take_wrongly_is_refused(text, message):
    with pytest.raises(ConfigError, match=f"TF_CONFIG: .*{message}"):
        parse_cluster(text)


HOSTS = st.from_regex(r"[a-z]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True)


@given(
    hosts=st.lists(st.tuples(HOSTS, st.integers(1, 65535)), min_size=1, max_size=8, unique=True),
    data=st.data(),
)
def test_every_list_of_workers_is_read_back(hosts, data):
    workers = [f"{host}:{port}" for host, port in hosts]
    index = data.draw(st.integers(0, len(workers) - 1))
    assert parse_cluster(text_of(workers, index)) == Cluster(tuple(workers), index)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON | st.fixed_dictionaries({"cluster": JSON, "task": JSON}))
def test_no_json_ends_in_another_error(value):
    with pytest.raises(ConfigError):
        parse_cluster(json.dumps(value))


@given(st.text())
def test_no_text_ends_in_another_error(text):
    with pytest.raises(ConfigError):
        parse_cluster(text)


def test_the_environment_says_who_this_is():
    assert cluster_from_environment({"TF_CONFIG": EXAMPLE}).index == 0
    with pytest.raises(ConfigError, match="TF_CONFIG is not set"):
        cluster_from_environment({})
