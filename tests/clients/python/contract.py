"""What every client writes and every reader expects, and how a case's verdict is told.

Record i goes to partition i mod 3 and is the (i / 3)-th there, so that an offset tells which record it has to be: one that is
lost, there twice or out of order shows at its offset.
"""

import os
import sys
import time
import traceback

PARTITIONS = 3
READ_TIMEOUT_S = 60
# The shortest time that a lot of records takes under fire.
LOT_S = 0.02
BOOTSTRAP = os.environ["BOOTSTRAP"].split(",")
PREFIX = os.environ["PREFIX"]
EPOCH_MS = int(os.environ["EPOCH_MS"])
FIRE_SECONDS = int(os.environ["FIRE_SECONDS"])
RECORDS = int(os.environ["RECORDS"])


def topic_name(name):
    return f"{PREFIX}-{name}"


def key(i):
    return f"key-{i % 10}"


def value(topic, i):
    return f"{topic}/{i}/{'abcdefghij' * (i % 20)}"


def timestamp(i):
    return EPOCH_MS + 10 * (i % 100_000)


def end(records, partition):
    """How many of so many records are in a partition."""
    return (records - partition + PARTITIONS - 1) // PARTITIONS


def rounds():
    """The numbers of the records, in lots that are acknowledged before the next: one, or many while brokers die."""
    deadline = time.monotonic() + FIRE_SECONDS
    first = 0
    while first == 0 or (FIRE_SECONDS and time.monotonic() < deadline):
        begun = time.monotonic()
        yield range(first, first + RECORDS)
        first += RECORDS
        # So that the fastest of clients does not write more in a minute than its readers get through.
        time.sleep(max(0, begun + LOT_S - time.monotonic()) if FIRE_SECONDS else 0)


def equal(what, expected, found):
    if expected != found:
        raise AssertionError(f"{what}: expected {expected!r}, found {found!r}")


def check_record(topic, partition, offset, found):
    """`found` is key, value, timestamp (None where the client cannot set it) and headers."""
    i = offset * PARTITIONS + partition
    found_key, found_value, found_timestamp, headers = found
    equal(f"value of record {i}", value(topic, i), found_value)
    equal(f"key of record {i}", key(i), found_key)
    if found_timestamp is not None:
        equal(f"timestamp of record {i}", timestamp(i), found_timestamp)
    equal(f"headers of record {i}", [("n", str(i))], headers)


class Positions:
    """Where a reader is in each partition, and whether that is the end."""

    def __init__(self, topic, records, first):
        self.topic = topic
        self.records = records
        self.next = dict(first)
        self.deadline = time.monotonic() + READ_TIMEOUT_S

    def behind(self):
        behind = any(offset < end(self.records, partition) for partition, offset in self.next.items())
        if behind and time.monotonic() > self.deadline:
            raise AssertionError(f"still at {self.next} of {self.records} records")
        return behind

    def take(self, partition, offset, *found):
        equal(f"offset in partition {partition}", self.next[partition], offset)
        check_record(self.topic, partition, offset, found)
        self.next[partition] += 1


def eventually(what, condition):
    """Asks again and again until it is so; whoever is asked while brokers die may fail to answer."""

    def holds():
        try:
            return condition()
        except Exception:
            if not FIRE_SECONDS:
                raise
            return False

    deadline = time.monotonic() + READ_TIMEOUT_S
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {READ_TIMEOUT_S} s: {what}")
        time.sleep(0.02)


class Report:
    """Tells of each case on a line of its own; `done` at the end says that none is missing."""

    def __init__(self):
        self.chosen = sys.argv[1:]
        self.failed = False

    def wanted(self, name):
        return not self.chosen or any(name.startswith(prefix) for prefix in self.chosen)

    def tell(self, name, error=None):
        if error is None:
            print(f"ok {name}", flush=True)
            return
        self.failed = True
        traceback.print_exception(error)
        text = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"not ok {name}: {text}", flush=True)

    def run(self, name, body):
        if self.wanted(name):
            try:
                body()
            except Exception as error:
                self.tell(name, error)
            else:
                self.tell(name)

    async def run_async(self, name, body):
        if self.wanted(name):
            try:
                await body()
            except Exception as error:
                self.tell(name, error)
            else:
                self.tell(name)

    def done(self):
        print("done", flush=True)
        sys.exit(1 if self.failed else 0)
