"""What an etcd URL may say, and that no refusal shows its password."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowdsl.errors import ConfigurationError
from flowdsl_etcd.address import parse
from flowdsl_etcd.role_scheduler import open_roles


def test_a_url_names_hosts_user_and_prefix() -> None:
    address = parse("etcd://me:p%40ss%2F@one:1,[::1]:2,three?prefix=/shop/")

    assert address.hosts == (("one", 1), ("::1", 2), ("three", 2379))
    assert (address.user, address.password, address.prefix) == ("me", "p@ss/", "shop")
    assert address.shown == "etcd://one:1,[::1]:2,three:2379"
    assert "p@ss" not in repr(address) + repr(open_roles("etcd://me:p%40ss%2F@one"))


def test_a_url_without_anything_is_the_etcd_of_this_machine() -> None:
    assert parse("etcd://").hosts == (("127.0.0.1", 2379),)
    assert parse("etcd://").prefix == "flowdsl"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("etcd://host:none", "cannot be read"),
        ("etcd://host:99999", "cannot be read"),
        ("etcd://one:1,two:x", "cannot be read"),
        ("etcd://me:gehe[im@host", "cannot be read"),
        ("etcd://host:1?nonsense=1", "has no option nonsense"),
        ("etcd://host/shop", "goes on behind its hosts"),
        ("etcd://host?prefix=/", "empty prefix"),
        ("etcd://host?prefix=", "empty prefix"),
        ("etcd://host?ca=/nowhere/ca.pem", "speaks no TLS"),
        ("etcds://host?ca=/nowhere/ca.pem", "ca='/nowhere/ca.pem' in the URL of etcds://host:2379 is no file"),
        ("etcds://host?key=/nowhere/key.pem", "a key without its certificate"),
        ("etcd://me:12/geheim@host", "an @ behind its hosts"),
        ("etcd://me:geheim#1@host", "an @ behind its hosts"),
        ("etcd://me:geheim?1@host", "an @ behind its hosts"),
        ("etcd://me:geheim@host:none", "cannot be read"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_roles(url)

    assert words in str(caught.value)
    assert "gehe" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_pem_files_are_taken_where_they_are_there(tmp_path: Path) -> None:
    pem = tmp_path / "own.pem"
    pem.touch()

    assert parse(f"etcds://host?ca={pem}&cert={pem}").files == {"ca": str(pem), "cert": str(pem)}
