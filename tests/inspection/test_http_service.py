"""The server as a gateway sees it: a process of its own, asked over HTTP."""

import contextlib
import datetime as dt
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cdm_inspect.calibration.in_force import calibration_in_force
from cdm_inspect.images import find_images
from cdm_inspect.project import open_project
from cdm_inspect.records import InspectionQuery

TOKEN = "a-token-of-some-length"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(url, data=None, **headers):
    """Status and JSON, of errors too."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        text = error.read()
        with contextlib.suppress(ValueError):
            return error.code, json.loads(text)
        return error.code, text.decode()


@pytest.fixture
def server(line, tmp_path):
    """Base address of a server of line A that asks for a token."""
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    port = free_port()
    command = [sys.executable, "-m", "cdm_inspect", "--project", line, "serve", "--line", "A"]
    command += ["--port", str(port), "--token-file", token]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        with contextlib.suppress(OSError):
            if ask(f"{url}/v2/health/ready")[0] == 200:
                break
        assert process.poll() is None
        time.sleep(0.1)
    yield url
    process.send_signal(signal.SIGTERM)
    # Graceful: what was begun is finished, and stores are closed.
    assert process.wait(60) in (0, -signal.SIGTERM)


def test_a_gateway_gets_verdicts_that_are_recorded(server, line):
    photographs = sorted(find_images(line / "data" / "A" / "test"))[:6]
    url, bearer = f"{server}/v1/lines/A/inspections", f"Bearer {TOKEN}"
    with ThreadPoolExecutor(4) as pool:  # more gateways than parts that are judged at a time
        answers = list(
            pool.map(
                lambda path: ask(
                    url,
                    path.read_bytes(),
                    Authorization=bearer,
                    X_Part_Name=f"../x/{path.name}",
                    X_Part_Serial="部品 7".encode().decode("latin-1"),
                ),
                [*photographs, photographs[0]],
            )
        )
    assert {status for status, _ in answers} == {200}
    # The same photograph is the same part; a name is a name and no path.
    assert answers[-1][1]["id"] == answers[0][1]["id"]
    assert [row["image"] for _, row in answers[:6]] == [path.name for path in photographs]
    assert answers[0][1]["serial"] == "部品 7"
    with open_project(line).open_store() as store:
        kept = store.find(InspectionQuery(line="A"))
    assert {row.id for row in kept} == {row["id"] for _, row in answers}
    broken = photographs[0].read_bytes()[:300]
    status, found = ask(url, broken, Authorization=bearer)
    assert (status, found["verdict"]) == (200, "undecided")
    assert found["reason"].startswith("truncated")
    # The protocol of inference servers judges and records nothing.
    pixels = np.asarray(Image.open(photographs[0]))
    shape = [1, *pixels.shape, 1][:4] if pixels.ndim == 2 else [1, *pixels.shape]
    tensor = {
        "name": "images",
        "shape": shape,
        "datatype": "UINT8",
        "data": pixels.ravel().tolist(),
    }
    body = json.dumps({"id": "7", "inputs": [tensor]}).encode()
    status, answer = ask(f"{server}/v2/models/A/infer", body, Authorization=bearer)
    assert status == 200, answer
    outputs = {output["name"]: output["data"][0] for output in answer["outputs"]}
    assert answer["id"] == "7"
    assert outputs["score"] == answers[0][1]["score"]
    assert outputs["verdict"] == answers[0][1]["verdict"]
    with open_project(line).open_store() as store:
        assert store.count(InspectionQuery(line="A")) == len(kept) + 1
    with urllib.request.urlopen(f"{server}/metrics") as reply:
        metrics = reply.read().decode()
    assert 'cdm_inspect_inspections_total{line="A",verdict="undecided"} 1.0' in metrics
    assert "cdm_inspect_inspection_seconds_count" in metrics


def test_thresholds_come_into_force_without_a_restart(server, line):
    photograph, other = sorted(find_images(line / "data" / "A" / "test" / "good"))[:2]
    url, bearer = f"{server}/v1/lines/A/inspections", f"Bearer {TOKEN}"
    _, before = ask(url, photograph.read_bytes(), Authorization=bearer)
    project = open_project(line, line="A")
    former, now = calibration_in_force(project, "A"), dt.datetime.now(dt.UTC)
    saved = replace(former, threshold=-1e6, reject_threshold=-1e5, made_at=now).save(
        project.calibration_folder("A")
    )
    time.sleep(1.1)  # a file is left alone while somebody may still write it
    _, after = ask(url, other.read_bytes(), Authorization=bearer)
    assert [before["calibration"], after["calibration"]] == [former.id, saved.id]
    assert (after["threshold"], after["verdict"]) == (-1e6, "reject")


def test_what_is_wrong_is_said(server):
    bearer = f"Bearer {TOKEN}"
    inspections, infer = f"{server}/v1/lines/A/inspections", f"{server}/v2/models/A/infer"
    assert ask(inspections, b"x")[0] == 401
    assert ask(inspections, b"x", Authorization="Bearer wrong")[0] == 401
    assert ask(infer, b"{}")[0] == 401
    # A page of the web, in a browser at the station.
    assert ask(inspections, b"x", Authorization=bearer, Origin="http://evil.example")[0] == 403
    status, answer = ask(f"{server}/v1/lines/B/inspections", b"x", Authorization=bearer)
    assert status == 404
    assert "there are: A" in answer["error"]
    assert ask(inspections, b"", Authorization=bearer)[0] in (400, 405)
    tensor = {"name": "images", "shape": [1, 2, 2, 1], "datatype": "UINT8", "data": [1, 2, 3, 4]}
    for change in (
        {"shape": [2, 1, 2, 1]},
        {"shape": [1, 2, 3, 1]},
        {"shape": [1, 2, 2]},
        {"data": [1, 2, 3, 400]},
        {"data": [1, 2, 3, -4]},
        {"data": [0.5, 2, 3, 4]},
        {"data": []},
        {"datatype": "FP32"},
        {"name": "other"},
        {"shape": [1, 100_000, 100_000, 1]},
    ):
        body = json.dumps({"inputs": [{**tensor, **change}]}).encode()
        status, answer = ask(infer, body, Authorization=bearer)
        assert status == 400, change
        assert answer["error"].startswith("no inference request")
    assert ask(infer, b"not json", Authorization=bearer)[0] == 400
    # A thumbnail is no fault of the client: the part goes to a person.
    body = json.dumps({"inputs": [tensor]}).encode()
    status, answer = ask(infer, body, Authorization=bearer)
    assert status == 200
    assert answer["outputs"][2]["data"] == ["undecided"]
    assert ask(f"{server}/v2/health/live", Host="evil.example")[0] == 400
    assert ask(f"{server}/v2/health/live") == (200, {"live": True})
    assert ask(f"{server}/v2/models/A")[1]["name"] == "A"
    assert ask(f"{server}/v2/models/A/ready")[0] == 200
    assert ask(f"{server}/v2")[1]["name"] == "cdm-inspect"


def test_it_is_not_open_to_others_without_a_token(line, run, tmp_path):
    arguments = ["--project", line, "serve", "--line", "A"]
    done = run(*arguments, "--address", "0.0.0.0")
    assert done.returncode == 2
    assert "takes a --token-file" in " ".join(done.stderr.split())
    short = tmp_path / "token"
    short.write_text("short")
    for file in (short, tmp_path / "none"):
        done = run(*arguments, "--token-file", file)
        assert done.returncode == 2
        assert "--token-file" in done.stderr
