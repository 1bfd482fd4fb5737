"""Which process is certainly gone."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import replace

from flowdsl.engine.process_identity import ProcessIdentity
from flowdsl.model.instance import Instance

ME = ProcessIdentity.of_this_process()


def test_a_process_that_has_ended_here_is_known_to_be_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()

    assert ME.knows_dead(ME.host, child.pid, "1")


def test_the_number_of_a_process_that_was_given_away_again_is_another_process() -> None:
    assert not ME.knows_dead(ME.host, ME.pid, ME.started)
    assert ME.knows_dead(ME.host, ME.pid, "1")


def test_of_other_machines_nothing_is_known() -> None:
    assert not ME.knows_dead("elsewhere/1/2", 1, "1")
    assert not ME.knows_dead("", 1, "1")
    blind = replace(ME, host="here//", certain=False)
    assert not blind.knows_dead("here//", 1, "1"), "two machines of one name, of which no more is known"


def test_an_instance_has_the_name_of_its_machine() -> None:
    assert Instance(owner="o", host=ME.host).machine == platform.node()
    assert Instance(owner="o", host="here//").machine == "here"
    assert Instance(owner="o", host=f"{os.getpid()}/pid:[1]").machine == "", "as older code says it"
    assert Instance(owner="o").machine == ""
