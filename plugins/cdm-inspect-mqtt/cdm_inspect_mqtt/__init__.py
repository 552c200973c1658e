"""Verdicts to an MQTT broker: one JSON message a part, confirmed by the broker."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator

from cdm_inspect.errors import PluginFailed
from cdm_inspect.plugins import Options, SinkOffer, hookimpl
from cdm_inspect.records import StoredInspection, inspection_json


class MqttOptions(Options):
    """Of the sink `mqtt`.

    Attributes:
        topic: `{line}` and `{verdict}` stand for those of the part.
        client_id: "" lets the broker choose; two with the same throw each other out.
        password_variable: name of the environment variable that holds the password.
        ca_file: PEM file, from the project directory if relative, of the authority that has signed
            the broker's certificate; the connection is encrypted where there is one.
        seconds: to wait for the broker, to connect and to confirm.
        retain: whether the broker keeps the last message of a topic for who comes later.
    """

    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    topic: str = "cdm-inspect/{line}"
    client_id: str = ""
    username: str | None = None
    password_variable: str | None = None
    ca_file: Path | None = None
    seconds: Annotated[float, Field(gt=0)] = 10.0
    retain: bool = False

    @field_validator("topic")
    @classmethod
    def _topic_is_one(cls, value: str) -> str:
        try:
            filled = value.format(line="A", verdict="pass")
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError("only {line} and {verdict} are filled in") from error
        if not filled or set(filled) & set("+#\0"):
            raise ValueError("a topic to publish to is not empty and has no + or #")
        return value


class MqttSink:
    """One connection; see `contracts.VerdictSink`."""

    def __init__(self, options: MqttOptions, password: str | None) -> None:
        from paho.mqtt.client import CallbackAPIVersion, Client

        self.options = options
        self._where = f"{options.host}:{options.port}"
        self._refusal, self._answered = "", threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=options.client_id)
        self._client.on_connect = self._note_answer
        if options.username is not None:
            self._client.username_pw_set(options.username, password)
        if options.ca_file is not None:
            self._client.tls_set(ca_certs=str(options.ca_file))
        self._client.connect_timeout = options.seconds

    def __enter__(self) -> Self:
        try:
            self._client.connect(self.options.host, self.options.port)
        except (TimeoutError, OSError) as error:
            raise PluginFailed(
                f"no MQTT broker answers at {self._where} ({error}). See that it runs and that "
                "host and port are right"
            ) from error
        self._client.loop_start()
        if not self._answered.wait(self.options.seconds):
            self.__exit__()
            raise PluginFailed(f"{self._where} does not speak MQTT, or is too slow")
        if self._refusal:
            self.__exit__()
            raise PluginFailed(f"the MQTT broker {self._where} refuses us: {self._refusal}")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, inspections: Sequence[StoredInspection]) -> None:
        """Publish all, then wait until the broker has confirmed each."""
        messages = [
            self._client.publish(
                self.options.topic.format(line=part.line, verdict=part.verdict.value),
                json.dumps(inspection_json(part), ensure_ascii=False),
                qos=1,
                retain=self.options.retain,
            )
            for part in inspections
        ]
        deadline = time.monotonic() + self.options.seconds
        for message in messages:
            message.wait_for_publish(max(0.0, deadline - time.monotonic()))
            if not message.is_published():
                raise PluginFailed(
                    f"the MQTT broker {self._where} has not confirmed within "
                    f"{self.options.seconds:g} s"
                )

    def _note_answer(
        self, client: Any, data: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        self._refusal = str(reason) if reason.is_failure else ""
        self._answered.set()


def open_mqtt(options: MqttOptions, root: Path) -> MqttSink:
    name = options.password_variable
    if name is not None and name not in os.environ:
        raise PluginFailed(f"the environment variable {name}, which holds the password, is not set")
    if options.ca_file is not None:
        options = options.model_copy(update={"ca_file": root / options.ca_file})
    return MqttSink(options, None if name is None else os.environ[name])


OFFER = SinkOffer(
    contract=1,
    name="mqtt",
    summary="To an MQTT broker, as JSON, with quality of service 1.",
    open=open_mqtt,
    options=MqttOptions,
)


@hookimpl
def cdm_inspect_sinks() -> Iterator[SinkOffer]:
    yield OFFER
