"""Cases of kcat, the command line of librdkafka: list, produce, consume by partition, query offsets.

kcat makes a topic by asking for it; it sets no timestamps, and deleting is left to the other clients.
"""

import json
import re
import subprocess
import time

from contract import BOOTSTRAP, FIRE_SECONDS, PARTITIONS, Report, end, equal, eventually, key, rounds, topic_name, value

report = Report()
SERVERS = ",".join(BOOTSTRAP)
TIMEOUT_S = 90


def kcat(*words, text=None):
    run = subprocess.run(
        ["kcat", "-b", SERVERS, *words], input=text, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if run.returncode != 0:
        raise AssertionError(f"kcat {' '.join(words)} ended with {run.returncode}: {run.stderr.strip()}")
    return run.stdout


def create(name):
    """A topic made by the first request for it, with the brokers' number of partitions."""
    topic = topic_name(name)

    def settled():
        found = json.loads(kcat("-L", "-J", "-t", topic))["topics"][0]
        leaders = [one["leader"] for one in found["partitions"]]
        return "error" not in found and len(leaders) == PARTITIONS and min(leaders) > 0

    eventually("every partition has a leader", settled)
    return topic


def produce(topic, *words):
    count = 0
    for lot in rounds():
        for partition in range(PARTITIONS):
            lines = "".join(f"{key(i)}:{value(topic, i)}\n" for i in lot if i % PARTITIONS == partition)
            kcat("-P", "-t", topic, "-p", str(partition), "-K:", "-H", "client=kcat", *words, text=lines)
        count = lot[-1] + 1
    return count


def verify(topic, count, first=None):
    for partition, offset in ({0: 0, 1: 0, 2: 0} if first is None else first).items():
        place = ["-t", topic, "-p", str(partition)]
        # What acks=0 sends may still be on its way.
        eventually("all is there", lambda: last_offset(topic, partition) == end(count, partition))
        found = [json.loads(line) for line in kcat("-C", *place, "-o", str(offset), "-e", "-q", "-J").splitlines()]
        numbers = [i * PARTITIONS + partition for i in range(offset, end(count, partition))]
        expected = [(i // PARTITIONS, key(i), value(topic, i), ["client", "kcat"]) for i in numbers]
        told = [(one["offset"], one["key"], one["payload"], one["headers"]) for one in found]
        equal(f"how many are in partition {partition}", len(expected), len(told))
        for one, other in zip(expected, told):
            equal(f"a record in partition {partition}", one, other)


def query(topic, partition, when):
    told = kcat("-Q", "-t", f"{topic}:{partition}:{when}")
    return int(re.search(r"offset (-?\d+)", told).group(1))


def last_offset(topic, partition):
    return query(topic, partition, -1)


def round_trip(name, *words):
    topic = create(name)
    verify(topic, produce(topic, *words))


def listed():
    topic = create("listed")
    told = json.loads(kcat("-L", "-J"))
    equal("brokers", [1, 2, 3], sorted(broker["id"] for broker in told["brokers"]))
    partitions = [one for one in told["topics"] if one["topic"] == topic][0]["partitions"]
    for partition in partitions:
        for what in ("replicas", "isrs"):
            equal(what, [1, 2, 3], sorted(broker["id"] for broker in partition[what]))


def from_timestamp():
    topic = create("timestamp")
    count = produce(topic)
    last_ms = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 <= last_ms:
        pass
    between_ms = last_ms + 1
    kcat("-P", "-t", topic, "-p", "1", "-K:", text="later:one\n")
    equal("offset for a time", end(count, 1), query(topic, 1, between_ms))
    equal("offset for 1970", 0, query(topic, 1, 1))
    told = kcat("-C", "-t", topic, "-p", "1", "-o", f"s@{between_ms}", "-e", "-q", "-f", "%o %k=%s\n")
    equal("what is read from that time on", f"{end(count, 1)} later=one\n", told)


EXACTLY_ONCE = ("-X", "enable.idempotence=true") if FIRE_SECONDS else ()
for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
    report.run(f"produce.{codec}", lambda: round_trip(f"produce-{codec}", "-z", codec, *EXACTLY_ONCE))
report.run("idempotent", lambda: round_trip("idempotent", "-X", "enable.idempotence=true"))
if not FIRE_SECONDS:
    for acks in ("0", "1", "all"):
        report.run(f"acks.{acks}", lambda: round_trip(f"acks-{acks}", "-X", f"acks={acks}"))
    report.run("consume.offset", lambda: verify(t := create("offset"), produce(t), {0: 7, 1: 29, 2: 0}))
    report.run("consume.timestamp", from_timestamp)
    report.run("list", listed)
report.done()
