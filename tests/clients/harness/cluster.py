"""The clusters that cases can be run against: kafkarium, or an Apache Kafka that shows whether a case is right."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 15


def wait_until(what, condition, timeout_s):
    """Asks again and again until it is so; gives what the condition gave."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s} s: {what}")
        time.sleep(0.02)


class Kafkarium:
    """`kafkarium serve` with three brokers on free ports, which leaves nothing behind."""

    name = "kafkarium"

    def __init__(self, binary, logs):
        self.binary = binary
        self.folder = Path(tempfile.mkdtemp(prefix="kafkarium-clients-"))
        self.socket = self.folder / "control"
        self.log = logs / "kafkarium.log"
        ready = self.folder / "ready"
        environment = dict(os.environ, XDG_RUNTIME_DIR=str(self.folder), HOME=str(self.folder))
        words = ["serve", "--brokers=3", "--port=0", "--ephemeral", f"--ready-file={ready}", f"--socket={self.socket}"]
        words += ["--set", "num.partitions=3"]
        words += os.environ.get("CLIENTS_SERVE_FLAGS", "").split()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [binary, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=self.folder
            )
        try:
            wait_until("ready file", lambda: self.answered(ready), START_TIMEOUT_S)
        except Exception:
            self.process.kill()
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self.bootstrap = ",".join(ready.read_text().split())

    def answered(self, ready):
        if self.process.poll() is not None:
            raise RuntimeError(f"kafkarium ended with {self.process.returncode}:\n{self.log.read_text()[-2000:]}")
        return ready.exists() and ready.read_text().strip()

    def control(self, *words):
        """Runs one command of the command language; an exception tells why it failed."""
        run = subprocess.run(
            [self.binary, "ctl", f"--socket={self.socket}", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=START_TIMEOUT_S, check=False,
        )
        if run.returncode != 0:
            raise RuntimeError(f"ctl {' '.join(words)}: exit code {run.returncode}: {run.stderr.strip()}")
        return run.stdout

    def stop(self):
        """Ends it as a user would; gives what was wrong with that, or None."""
        alive = self.process.poll() is None
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = f"none within {STOP_TIMEOUT_S} s of SIGTERM"
        left = [path.name for path in self.folder.glob("kafkarium/*")] if alive else []
        shutil.rmtree(self.folder, ignore_errors=True)
        wrong = [line for line in self.log.read_text(errors="replace").splitlines() if "panicked" in line]
        if code != 0:
            wrong.append(f"exit code {code}")
        if left:
            wrong.append(f"left behind: {' '.join(left)}")
        return "; ".join(wrong) or None


class Fire:
    """Kills a random broker every few seconds and starts it again, until it is told to stop."""

    def __init__(self, cluster, seed):
        self.cluster = cluster
        self.random = random.Random(seed)
        self.over = threading.Event()
        self.killed = 0
        self.wrong = None
        self.thread = threading.Thread(target=self.burn)
        self.thread.start()

    def burn(self):
        try:
            while not self.over.wait(self.random.uniform(0.5, 3)):
                broker = str(self.random.randint(1, 3))
                self.cluster.control("kill", broker)
                self.killed += 1
                self.over.wait(self.random.uniform(0.1, 2))
                self.cluster.control("start", broker)
                # One at a time: the next one dies when all replicas are in sync again.
                self.cluster.control("wait", "under-replicated", "=", "0", "--within", "60s")
        except Exception as error:  # It has to reach the verdict, whatever it is.
            self.wrong = str(error)

    def stop(self):
        self.over.set()
        self.thread.join()
        return self.wrong


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class ApacheKafka:
    """Three combined nodes of Apache Kafka from the tools' jars: what passes here is a right case."""

    name = "Apache Kafka"
    settings = {
        "process.roles": "broker,controller",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "default.replication.factor": 3,
        "min.insync.replicas": 2,
        "num.partitions": 3,
        "offsets.topic.replication.factor": 3,
        "transaction.state.log.replication.factor": 3,
        "group.initial.rebalance.delay.ms": 0,
        "log.cleaner.enable": "false",
    }

    def __init__(self, jars, logs):
        self.folder = Path(tempfile.mkdtemp(prefix="kafka-clients-"))
        self.java = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*"]
        ports = free_ports(6)
        voters = ",".join(f"{node}@127.0.0.1:{ports[node + 2]}" for node in (1, 2, 3))
        self.processes = []
        for node in (1, 2, 3):
            settings = dict(self.settings)
            settings |= {"node.id": node, "log.dirs": self.folder / str(node), "controller.quorum.voters": voters}
            listeners = f"PLAINTEXT://127.0.0.1:{ports[node - 1]}"
            settings |= {"listeners": f"{listeners},CONTROLLER://127.0.0.1:{ports[node + 2]}"}
            settings |= {"advertised.listeners": listeners}
            properties = self.folder / f"{node}.properties"
            properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
            with open(logs / f"kafka-{node}.log", "wb") as log:
                format_words = ["format", "--cluster-id", "MkU3OEVBNTcwNTJENDM2Qk", "--config", properties]
                tool = [*self.java, "kafka.tools.StorageTool", *format_words]
                subprocess.run(tool, stdout=log, stderr=log, check=True, timeout=START_TIMEOUT_S)
                self.processes.append(
                    subprocess.Popen([*self.java, "kafka.Kafka", properties], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                )
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in ports[:3])
        check = [*self.java, "org.apache.kafka.tools.BrokerApiVersionsCommand", "--bootstrap-server", self.bootstrap]
        answers = lambda: subprocess.run(check, capture_output=True, check=False, timeout=60).stdout.count(b"(id: ") == 3
        wait_until("Apache Kafka answers", answers, START_TIMEOUT_S)

    def stop(self):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        return None
