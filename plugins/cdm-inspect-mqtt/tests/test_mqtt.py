"""The sink against a real Mosquitto."""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from cdm_inspect_mqtt import OFFER, MqttOptions

from cdm_inspect.errors import PluginFailed
from cdm_inspect.inspection.outbox import deliver, delivering
from cdm_inspect.plugins import Registry
from cdm_inspect.project import open_project
from cdm_inspect.records import Inspection, Verdict


class Broker:
    """A Mosquitto of one's own."""

    def __init__(self, folder, more=""):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.file = folder / "mosquitto.conf"
        self.file.write_text(f"listener {self.port} 127.0.0.1\n{more or 'allow_anonymous true'}\n")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [program(), "-c", str(self.file)], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def program():
    found = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
    if found is None:
        pytest.skip(
            "no Mosquitto: the sink was not tested against a broker. Install it (Debian, Ubuntu: "
            "apt-get install mosquitto)."
        )
    return found


@pytest.fixture
def broker(tmp_path):
    made = Broker(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def heard(broker):
    """What a client that listens to everything has heard: topics and messages."""
    from paho.mqtt.client import CallbackAPIVersion, Client

    messages, ready = [], []
    client = Client(CallbackAPIVersion.VERSION2, client_id="listener")
    client.on_message = lambda c, d, m: messages.append((m.topic, json.loads(m.payload), m.qos))
    client.on_connect = lambda c, *_: c.subscribe("#", qos=1)
    client.on_subscribe = lambda *_: ready.append(True)
    client.reconnect_delay_set(0.1, 0.2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    wait_until(lambda: ready)
    yield messages
    client.disconnect()
    client.loop_stop()


def wait_until(is_so):
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def root(tmp_path, broker):
    folder = tmp_path / "plant"
    folder.mkdir()
    (folder / "cdm-inspect.toml").write_text(
        '[lines.A]\nnormal = "good"\n[sinks.mqtt.options]\nhost = "127.0.0.1"\nseconds = 2.0\n'
        f'port = {broker.port}\ntopic = "plant/{{line}}/{{verdict}}"\n'
    )
    return folder


def inspect_parts(root, numbers, after_each=lambda: None):
    project = open_project(root)
    with project.open_store() as store, delivering(project, store) as deliveries:
        for number in numbers:
            part = Inspection(
                image=Path(f"部品{number}.png"),
                sha256=f"{number}",
                line="A",
                verdict=Verdict.REJECT if number % 2 else Verdict.PASS,
                model="m",
                calibration="c",
                scorer="residual",
                score=1.0,
                p_value=0.5,
            )
            store.append(part, evidence=None)
            deliveries.wake()
            after_each()


def images(heard):
    return list(dict.fromkeys(message["image"] for _, message, _ in heard))


def names(numbers):
    return [f"部品{number}.png" for number in numbers]


def test_the_installed_plugin_is_found():
    assert Registry().named(type(OFFER), "mqtt") == OFFER


def test_a_listener_hears_every_verdict(root, heard):
    inspect_parts(root, range(120))
    wait_until(lambda: len(heard) >= 120)
    assert images(heard) == names(range(120))
    topic, message, qos = heard[1]
    assert (topic, qos) == ("plant/A/reject", 1)
    assert (message["id"], message["verdict"], message["line"]) == (2, "reject", "A")


def test_nothing_is_lost_while_the_broker_is_away(root, broker, heard):
    inspect_parts(root, range(5))
    wait_until(lambda: len(heard) == 5)
    broker.stop()
    inspect_parts(root, range(5, 9))
    (found,) = deliver(open_project(root))["sinks"]
    assert found["waiting"] == 4
    assert "no MQTT broker answers at 127.0.0.1" in found["error"]
    broker.start()
    wait_until(lambda: subscribed_again(root, heard))
    inspect_parts(root, range(9, 11))
    wait_until(lambda: len(images(heard)) == 11)
    assert images(heard) == names(range(11))


def subscribed_again(root, heard):
    """Whether the listener is back: it hears a message of our own."""
    project = open_project(root)
    options = MqttOptions(**{**project.config.sinks["mqtt"].options, "topic": "probe"})
    with OFFER.open(options, root) as sink:
        sink._client.publish("probe", json.dumps({"image": "probe"}), qos=1).wait_for_publish(5)
    time.sleep(0.2)
    is_back = any(message["image"] == "probe" for _, message, _ in heard)
    heard[:] = [m for m in heard if m[1]["image"] != "probe"]
    return is_back


def test_a_broker_that_dies_in_the_midst(root, broker, heard):
    deaths = []

    def die():
        if len(heard) >= 20 and not deaths:
            deaths.append(len(heard))
            broker.stop()
            time.sleep(0.3)
            broker.start()

    inspect_parts(root, range(60), after_each=lambda: (time.sleep(0.01), die()))
    assert deaths
    wait_until(lambda: subscribed_again(root, heard))
    # What was confirmed before the listener was back is not its to hear; nothing waits.
    (found,) = deliver(open_project(root))["sinks"]
    assert (found["waiting"], found["error"]) == (0, None)


def test_a_broker_that_refuses_us(tmp_path, monkeypatch):
    broker = Broker(tmp_path, "allow_anonymous false")
    broker.start()
    try:
        with (
            pytest.raises(PluginFailed, match="refuses us: Not authorized"),
            OFFER.open(MqttOptions(host="127.0.0.1", port=broker.port), tmp_path),
        ):
            pass
    finally:
        broker.stop()
    monkeypatch.delenv("NO_SUCH_PASSWORD", raising=False)
    options = MqttOptions(host="x", username="u", password_variable="NO_SUCH_PASSWORD")
    with pytest.raises(PluginFailed, match="NO_SUCH_PASSWORD"):
        OFFER.open(options, tmp_path)


def test_somebody_who_does_not_speak_mqtt(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        options = MqttOptions(host="127.0.0.1", port=deaf.getsockname()[1], seconds=0.5)
        with (
            pytest.raises(PluginFailed, match="does not speak MQTT"),
            OFFER.open(options, tmp_path),
        ):
            pass


@pytest.mark.parametrize("topic", ["a/+", "a/#", "", "a/{part}"])
def test_what_is_no_topic(topic):
    with pytest.raises(ValueError, match=r"topic|filled in"):
        MqttOptions(host="x", topic=topic)
