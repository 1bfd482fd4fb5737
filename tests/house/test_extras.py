"""What messages tell users to install is there to be installed."""

from __future__ import annotations

import re
import sys
import tomllib

import pytest

from flowdsl.engine.discovery import EXTRAS, ROLES, STORES, STREAMERS, open_roles, open_streamer, schemes
from flowdsl.errors import MissingExtraError
from flowdsl_sql.connect import DRIVERS
from tests.house.source import ROOT

DECLARED = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])
WITHOUT_EXTRA = {"memory", "sqlite"}


def test_every_extra_that_a_message_names_is_declared() -> None:
    texts = [path.read_text("utf-8") for folder in ("flowdsl", "adapters", "docs_gen") for path in (ROOT / folder).rglob("*.py")]
    named = {extra for text in texts for extra in re.findall(r"flowdsl\[(\w+)\]", text)}

    assert named | set(EXTRAS.values()) | {extra for _, extra in DRIVERS.values()} <= DECLARED
    assert named


def test_every_scheme_has_an_extra_or_needs_none() -> None:
    known = {scheme for group in (STORES, ROLES, STREAMERS) for scheme in schemes(group)}

    assert known == set(EXTRAS) | set(DRIVERS) | WITHOUT_EXTRA


@pytest.mark.parametrize(
    ("module", "url", "extra"),
    [
        ("confluent_kafka", "kafka://127.0.0.1:9", "kafka"),
        ("etcd3gw", "etcd://127.0.0.1:9", "etcd"),
        ("kombu", "sqs://", "sqs"),
        ("kombu", "amqp://127.0.0.1:9//", "kombu"),
        ("redis", "redis://127.0.0.1:9/0", "redis"),
    ],
)
def test_a_scheme_whose_package_is_missing_names_its_extra(
    module: str, url: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] in (module, "flowdsl_kafka", "flowdsl_etcd", "flowdsl_kombu", "flowdsl_redis"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(MissingExtraError, match=rf"pip install 'flowdsl\[{extra}\]'$"):
        (open_roles if extra == "etcd" else open_streamer)(url)
