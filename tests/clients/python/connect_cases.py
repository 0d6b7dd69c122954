"""Cases of Kafka Connect: a distributed worker with exactly-once sources, its three internal topics, and files as source and sink.

The source makes each line a record of two fields by two single message transforms (HoistField, InsertField); the sink takes the
line out again (ExtractField), so that at the end one file has to be the other. The sink may write a line again after a broker has
died, as it promises no more than that; the source may not.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import ConfigResource

from confluent_kit import SERVERS, admin, create
from contract import FIRE_SECONDS, RECORDS, Report, equal

COMMAND = sys.argv.pop(1).split("\x1f")
FULL = os.environ.get("CLIENTS_FULL", "") not in ("", "0")
START_TIMEOUT_S = 120
READ_TIMEOUT_S = 60 + 10 * FIRE_SECONDS
STOP_TIMEOUT_S = 60
INTERNAL = ("connect-configs", "connect-offsets", "connect-statuses")
SOURCE = {
    "connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "tasks.max": "1", "exactly.once.support": "required",
    "transforms": "hoist,insert", "transforms.hoist.type": "org.apache.kafka.connect.transforms.HoistField$Value",
    "transforms.hoist.field": "line", "transforms.insert.type": "org.apache.kafka.connect.transforms.InsertField$Value",
    "transforms.insert.static.field": "origin", "transforms.insert.static.value": "a file",
    "topic.creation.default.replication.factor": "3", "topic.creation.default.partitions": "1",
}
SINK = {
    "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "tasks.max": "1",
    "transforms": "extract", "transforms.extract.type": "org.apache.kafka.connect.transforms.ExtractField$Value",
    "transforms.extract.field": "line", "consumer.override.auto.offset.reset": "earliest",
}


def until(what, condition, timeout_s=READ_TIMEOUT_S):
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.05)


def line(i):
    return f"line {i} of the file"


class Worker:
    """A worker of the cluster `connect` in a process of its own."""

    def __init__(self, folder, name):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        settings = {
            "bootstrap.servers": SERVERS["bootstrap.servers"], "group.id": "connect", "listeners": f"http://127.0.0.1:{self.port}",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter", "key.converter.schemas.enable": "false",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false",
            "exactly.once.source.support": "enabled", "consumer.isolation.level": "read_committed",
            "plugin.discovery": "service_load", "offset.flush.interval.ms": "500", "scheduled.rebalance.max.delay.ms": "0",
            "session.timeout.ms": "10000", "heartbeat.interval.ms": "500", "connector.client.config.override.policy": "All",
        }
        for kind, topic in zip(("config", "offset", "status"), INTERNAL):
            settings |= {f"{kind}.storage.topic": topic, f"{kind}.storage.replication.factor": "3"}
        properties = folder / f"{name}.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        words = [*COMMAND, "org.apache.kafka.connect.cli.ConnectDistributed", properties]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr)

    def ask(self, method, path, body=None):
        """What REST answers; None if it cannot just now, as it says itself while the workers rebalance."""
        if self.process.poll() is not None:
            raise AssertionError(f"the worker ended with {self.process.returncode}")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            told = error.read().decode(errors="replace")
            if error.code not in (404, 409, 500, 503):
                raise AssertionError(f"{method} {path}: {error.code} {told}") from error
            print(f"{method} {path}: {error.code} {told.splitlines()[0] if told else ''}", flush=True)
            return None
        except (urllib.error.URLError, OSError):
            return None

    def connector(self, name, config):
        until("it is taken", lambda: self.ask("PUT", f"/connectors/{name}/config", config), START_TIMEOUT_S)

    def running(self, name):
        """Whether its task runs; one that has failed because a broker died is started again, as somebody who runs it would."""
        status = self.ask("GET", f"/connectors/{name}/status")
        for task in status["tasks"] if status else []:
            if task["state"] == "FAILED":
                print(f"{name} has failed: {task['trace'][:2000]}", flush=True)
                if not FIRE_SECONDS:
                    raise AssertionError(f"task of {name}: {task['trace'].splitlines()[0]}")
                self.ask("POST", f"/connectors/{name}/tasks/{task['id']}/restart", {})
        return bool(status and [task["state"] for task in status["tasks"]] == ["RUNNING"])

    def stop(self, kindly=True):
        if kindly:
            self.process.terminate()
        else:
            self.process.kill()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("the worker does not stop") from None


class Stage:
    """The files, the worker that runs, and how many lines there are by now."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="kafkarium-connect-"))
        self.source, self.sink = self.folder / "source.txt", self.folder / "sink.txt"
        self.source.touch()
        # One partition: the sink's file is to be in the order of the source's.
        self.topic = create("lines", 1)
        self.worker = Worker(self.folder, "worker-1")
        self.lines = 0
        until("the worker answers", lambda: self.worker.ask("GET", "/"), START_TIMEOUT_S)
        self.worker.connector("source", SOURCE | {"file": str(self.source), "topic": self.topic})
        self.worker.connector("sink", SINK | {"file": str(self.sink), "topics": self.topic})

    def append(self, count):
        with self.source.open("a") as file:
            file.writelines(f"{line(i)}\n" for i in range(self.lines, self.lines + count))
        self.lines += count

    def arrived(self):
        """Whether the sink's file has every line; both tasks are looked after meanwhile."""
        both = [self.worker.running("source"), self.worker.running("sink")]
        told = self.sink.read_text().splitlines() if self.sink.exists() else []
        return all(both) and len(set(told)) == self.lines

    def check(self):
        """Compares the topic and the sink's file with what was written, when all is there."""
        until(f"{self.lines} lines in the sink's file", self.arrived)
        expected = [{"line": line(i), "origin": "a file"} for i in range(self.lines)]
        found = read(self.topic, self.lines)
        equal("how many records", len(expected), len(found))
        for one, other in zip(expected, found):
            equal("a record", one, other)
        told = self.sink.read_text().splitlines()
        equal("the sink's lines", [line(i) for i in range(self.lines)], told if not FIRE_SECONDS else list(dict.fromkeys(told)))

    def close(self):
        try:
            self.worker.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def read(topic, enough):
    """The committed values of a topic of one partition, once there are so many, and whatever comes at once after them."""
    consumer = Consumer(SERVERS | {"group.id": "nobody", "enable.auto.commit": False, "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    deadline = time.monotonic() + READ_TIMEOUT_S
    while time.monotonic() < deadline:
        messages = [one for one in consumer.consume(500, 0.5) if not one.error()]
        found += [json.loads(one.value()) for one in messages]
        if len(found) >= enough and not messages:
            break
    consumer.close()
    return found


def internal_topics(_):
    """The worker has made its three topics, compacted, and kept in them what it was told."""
    for topic in INTERNAL:
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        told = admin.describe_configs([resource])[resource].result(60)["cleanup.policy"].value
        equal(f"cleanup.policy of {topic}", "compact", told)
    partitions = admin.list_topics(timeout=10).topics
    equal("partitions", [1, 25, 5], [len(partitions[topic].partitions) for topic in INTERNAL])


def files(stage):
    """What is in one file comes through the topic into the other, what is added later too."""
    stage.append(RECORDS)
    stage.check()
    stage.append(RECORDS)
    stage.check()


def restart(stage):
    """A worker that is stopped and started again goes on where it was: its offsets are in its topic."""
    stage.append(RECORDS)
    stage.check()
    stage.worker.stop()
    stage.append(RECORDS)
    stage.worker = Worker(stage.folder, "worker-2")
    until("the worker answers", lambda: stage.worker.ask("GET", "/"), START_TIMEOUT_S)
    stage.check()


def two_workers(stage):
    """A second worker joins, the first one is killed, and the second one has both tasks and loses nothing."""
    second = Worker(stage.folder, "worker-3")
    until("the second worker answers", lambda: second.ask("GET", "/"), START_TIMEOUT_S)
    stage.append(RECORDS)
    stage.check()
    first, stage.worker = stage.worker, second
    first.stop(kindly=False)
    stage.append(RECORDS)
    until("all lines are there", lambda: stage.arrived())
    equal("records", stage.lines, len(read(stage.topic, stage.lines)))


def under_fire(stage):
    """Lines are added while brokers die."""
    deadline = time.monotonic() + 2 * FIRE_SECONDS
    while time.monotonic() < deadline:
        stage.append(RECORDS)
        stage.worker.running("source")
        stage.worker.running("sink")
        time.sleep(0.5)
    stage.check()


def main():
    report = Report()
    cases = {"files": under_fire} if FIRE_SECONDS else {"files": files, "topics": internal_topics, "restart": restart}
    if FULL and not FIRE_SECONDS:
        cases["two-workers"] = two_workers
    cases = {name: case for name, case in cases.items() if report.wanted(name)}
    stage = None
    try:
        for name, case in cases.items():
            stage = stage or Stage()
            report.run(name, lambda: case(stage))
    finally:
        if stage:
            stage.close()
    report.done()


main()
