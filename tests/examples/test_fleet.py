"""The fleet example: it delivers everything although a worker is killed, and its deployment files are what their tools accept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import latest_version, validate  # type: ignore[import-untyped]
from typer.testing import CliRunner

from examples.fleet import __main__ as program
from examples.fleet import app
from flowdsl.cli.main import app as command_line
from tests.services import RABBITMQ, broker, postgresql_schema

FOLDER = Path(program.__file__).parent


@pytest.mark.slow
def test_every_parcel_arrives_although_a_worker_is_killed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (app.STORE, app.STREAMER, app.STEP_MS):
        monkeypatch.setenv(name, "5")
    assert program.main(["--json", "--parcels", "60"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (found["delivered"], found["gapless"], found["killed"], found["clean_stop"]) == (60, 60, 1, True)


@pytest.mark.slow
def test_the_script_starts_three_workers_on_postgresql_and_rabbitmq(tmp_path: Path) -> None:
    with postgresql_schema() as store:
        environment = {
            **os.environ,
            app.STORE: store,
            app.STREAMER: f"{broker(RABBITMQ)}?prefix={tmp_path.name}.&expires=120",
            app.STEP_MS: "5",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        done = subprocess.run(
            ["bash", str(FOLDER / "local.sh"), "--parcels", "60", "--json"],
            cwd=FOLDER.parents[1],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert (found["workers"], found["delivered"], found["gapless"], found["killed"]) == (3, 60, 60, 1)


def test_the_compose_file_keeps_the_compose_schema() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FOLDER / "compose.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_kubernetes_manifest_keeps_the_api_s_schema() -> None:
    documents = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text("utf-8")))
    assert [document["kind"] for document in documents] == ["Secret", "Job", "Deployment"]
    for document in documents:
        validate(document, latest_version(), strict=True)


def test_what_the_deployments_start_is_a_command_of_ours() -> None:
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
    manifest = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text("utf-8")))[2]["spec"]["template"]["spec"]
    commands = [compose["services"]["worker"]["command"], manifest["containers"][0]["args"]]
    for command in commands:
        assert command[:2] == ["run", "examples.fleet.app:engine"]
        answer = CliRunner().invoke(command_line, [*command, "--help"])
        assert answer.exit_code == 0, answer.output
        assert "--processes" in command
    assert callable(app.engine)
    assert manifest["terminationGracePeriodSeconds"] > 30, "longer than the drain time"
