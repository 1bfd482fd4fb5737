"""The names that processes meet under, in topics, roles and metrics."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowdsl.naming import consumer_role, process_name, role, topic

TEXT = st.text(min_size=1, max_size=20)


@given(TEXT, TEXT, TEXT, TEXT)
def test_no_two_statuses_share_a_topic(workflow: str, status: str, other_workflow: str, other_status: str) -> None:
    same = (workflow, status) == (other_workflow, other_status)

    assert (topic(workflow, status) == topic(other_workflow, other_status)) == same


@given(TEXT, TEXT, TEXT, TEXT)
def test_no_two_consumers_share_a_role(workflow: str, status: str, other_workflow: str, other_status: str) -> None:
    same = (workflow, status) == (other_workflow, other_status)

    assert (consumer_role("n", workflow, status, 1, 2) == consumer_role("n", other_workflow, other_status, 1, 2)) == same


def test_names_that_dashes_spaces_or_case_would_confuse_stay_apart() -> None:
    names = ["a-b", "a b", "a_b", "A-b", "a/b", "a%2Fb"]

    assert len({topic(name, "c") for name in names}) == len(names)
    assert len({role("n", name, "c") for name in names}) == len(names)
    assert topic("a-b", "c") != topic("a", "b-c")


def test_fleets_of_different_namespaces_share_no_role() -> None:
    assert role("blue", "orders", "sweeper") != role("green", "orders", "sweeper")


def test_a_consumer_is_named_by_its_status_and_its_number() -> None:
    assert process_name("created") == "created-consumer-1-of-1"
    assert process_name("created", 2, 5) == "created-consumer-2-of-5"
    assert consumer_role("default", "orders", "created", 2, 5) == "default/orders/created/consumer/2-of-5"
