"""Cases of consumer groups, the same for every client: join, resume, rebalance, static members, and members that come and go.

A client comes as a kit, with `create(name)`, `produce(topic)`, `committed(group, topic)`, `strategies` and
`member(group, topic, listener, instance, strategy)`. A member has `poll()`, `commit(offsets)`, which returns when the coordinator
has acknowledged them, and `close()`; it calls the listener in the thread in which it polls.
"""

import threading
import time
import traceback
from collections import Counter

from contract import FIRE_SECONDS, PARTITIONS, READ_TIMEOUT_S, check_record, end, equal, eventually, topic_name

ALL = set(range(PARTITIONS))
# How long a member reads before it commits.
COMMIT_S = 0.02


class Ledger:
    """What the members of a group own, have read and know to be committed.

    A member that gets a partition goes on no sooner than what was known to be committed by then, and then record by record.
    """

    def __init__(self, topic):
        self.topic = topic
        self.lock = threading.Lock()
        self.reads = Counter()
        self.committed = Counter()
        self.owned = {}
        self.assignments = Counter()
        self.wrong = None

    def assigned(self, member, partitions):
        with self.lock:
            self.assignments[member] += 1
            for partition in partitions:
                owners = [one for one, owned in self.owned.items() if partition in owned and one != member]
                # One that was cut off may not know yet that it has lost it.
                if owners and not FIRE_SECONDS:
                    self.wrong = self.wrong or f"{owners} still own {partition}, which {member} gets"
                self.owned.setdefault(member, {})[partition] = (self.committed[partition], None)

    def revoked(self, member, partitions):
        with self.lock:
            for partition in partitions:
                self.owned.get(member, {}).pop(partition, None)

    def take(self, member, partition, offset, *found):
        with self.lock:
            check_record(self.topic, partition, offset, found)
            self.reads[(partition, offset)] += 1
            owned = self.owned.get(member, {})
            if partition in owned:
                floor, following = owned[partition]
                if following is not None:
                    equal(f"what {member} reads next of {partition}", following, offset)
                elif offset < floor:
                    raise AssertionError(f"{member} reads {offset} of {partition} again, {floor} was committed")
                owned[partition] = (floor, offset + 1)

    def positions(self, member):
        with self.lock:
            owned = self.owned.get(member, {})
            return {partition: following for partition, (_, following) in owned.items() if following is not None}

    def acknowledged(self, offsets):
        with self.lock:
            for partition, offset in offsets.items():
                self.committed[partition] = max(offset, self.committed[partition])

    def gone(self, member):
        with self.lock:
            self.owned.pop(member, None)

    def split(self, members):
        """Whether exactly these own every partition, each at least one."""
        with self.lock:
            lists = {member: list(self.owned.get(member, {})) for member in members}
            owned = [partition for one in lists.values() for partition in one]
            return len(owned) == PARTITIONS and set(owned) == ALL and all(lists.values())

    def missing(self, count):
        with self.lock:
            return [
                (partition, offset)
                for partition in range(PARTITIONS)
                for offset in range(end(count, partition))
                if (partition, offset) not in self.reads
            ]

    def repeated(self):
        with self.lock:
            return [place for place, times in self.reads.items() if times > 1]


class Worker(threading.Thread):
    """A member in its own thread: reads, commits what it has read, and goes on until it is told to stop."""

    def __init__(self, kit, ledger, group, name, instance=None, strategy="eager"):
        super().__init__(name=name, daemon=True)
        self.make = lambda: kit.member(group, ledger.topic, self, instance, strategy)
        self.ledger = ledger
        self.stopping = threading.Event()
        self.wrong = None
        self.last = {}
        self.commit_at = 0
        self.start()

    def assigned(self, partitions):
        self.ledger.assigned(self.name, partitions)

    def revoked(self, partitions):
        self.ledger.revoked(self.name, partitions)

    def run(self):
        try:
            member = self.make()
            try:
                while not self.stopping.is_set():
                    self.turn(member)
                self.commit(member)
            finally:
                # Whoever leaves has nothing any more before its successor is told that it has it.
                self.ledger.gone(self.name)
                member.close()
        except Exception as error:  # It has to reach the verdict, whatever it is.
            traceback.print_exc()
            self.wrong = f"{self.name}: {type(error).__name__}: {error}"

    def turn(self, member):
        records = member.poll()
        for record in records:
            self.ledger.take(self.name, *record)
        if not records or time.monotonic() > self.commit_at:
            self.commit(member)

    def commit(self, member):
        """Commits what was read since the last time, if that is anything."""
        self.commit_at = time.monotonic() + COMMIT_S
        offsets = self.ledger.positions(self.name)
        if offsets == self.last:
            return
        try:
            member.commit(offsets)
        except Exception as error:
            # The group is being rebalanced, or a broker has died: then nobody may rely on it.
            print(f"{self.name}: not committed: {type(error).__name__}: {error}", flush=True)
        else:
            self.last = offsets
            self.ledger.acknowledged(offsets)

    def stop(self):
        self.stopping.set()
        self.join(READ_TIMEOUT_S)
        if self.is_alive():
            raise AssertionError(f"{self.name} does not stop")
        if self.wrong:
            raise AssertionError(self.wrong)


class Group:
    """The workers of a group and their ledger; whoever is left is stopped at the end."""

    def __init__(self, kit, name, **how):
        self.kit = kit
        self.topic = kit.create(name)
        self.name = topic_name(name)
        self.ledger = Ledger(self.topic)
        self.how = how
        self.workers = {}

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for worker in self.workers.values():
            worker.stopping.set()
        if error is None:
            for worker in list(self.workers.values()):
                worker.stop()
            equal("what is wrong with owners", None, self.ledger.wrong)

    def join(self, name, instance=None):
        self.workers[name] = Worker(self.kit, self.ledger, self.name, name, instance, **self.how)

    def leave(self, name):
        self.workers.pop(name).stop()

    def until(self, what, condition, timeout_s=READ_TIMEOUT_S):
        deadline = time.monotonic() + timeout_s
        while not condition():
            for worker in self.workers.values():
                equal(f"what is wrong with {worker.name}", None, worker.wrong)
            if time.monotonic() > deadline:
                owned = {name: sorted(owned) for name, owned in self.ledger.owned.items()}
                raise AssertionError(f"not within {timeout_s} s: {what}; owners {owned}")
            time.sleep(0.02)

    def until_split(self, *names):
        self.until(f"the partitions are split among {names}", lambda: self.ledger.split(names))

    def until_read(self, count, timeout_s=READ_TIMEOUT_S):
        self.until(f"all of {count} records are read", lambda: not self.ledger.missing(count), timeout_s)

    def check_committed(self, count):
        ends = {partition: end(count, partition) for partition in range(PARTITIONS)}
        eventually("all is committed", lambda: self.kit.committed(self.name, self.topic) == ends)


def join(kit):
    """A member reads some and leaves; the next one goes on where it was, and the third one has nothing to do."""
    with Group(kit, "group-join") as group:
        count = kit.produce(group.topic)
        group.join("first")
        group.until("a third is read", lambda: len(group.ledger.reads) >= count // 3)
        group.leave("first")
        group.join("second")
        group.until_read(count)
        group.leave("second")
        equal("what was read twice", [], group.ledger.repeated())
        group.check_committed(count)
        group.join("third")
        group.until_split("third")
        group.leave("third")
        equal("what was read twice", [], group.ledger.repeated())


def rebalance(kit, strategy):
    """Three members come and one leaves, while records are written: each partition has one owner, and nothing is left out."""
    with Group(kit, f"group-{strategy}", strategy=strategy) as group:
        group.join("first")
        group.until_split("first")
        counts = []
        writer = threading.Thread(target=lambda: counts.append(kit.produce(group.topic)))
        writer.start()
        group.join("second")
        group.until_split("first", "second")
        group.join("third")
        group.until_split("first", "second", "third")
        group.leave("first")
        group.until_split("second", "third")
        writer.join()
        group.until_read(counts[0])
        group.check_committed(counts[0])


def static(kit):
    """A static member that comes back within its session has its partitions again, and the other one notices nothing."""
    with Group(kit, "group-static") as group:
        group.join("first", "instance-1")
        group.join("second", "instance-2")
        group.until_split("first", "second")
        count = kit.produce(group.topic)
        group.until_read(count)
        before = {name: sorted(owned) for name, owned in group.ledger.owned.items()}
        rebalances = group.ledger.assignments["first"]
        group.leave("second")
        group.join("second", "instance-2")
        group.until_split("first", "second")
        equal("who owns what", before, {name: sorted(owned) for name, owned in group.ledger.owned.items()})
        equal("how often the other one was assigned partitions", rebalances, group.ledger.assignments["first"])
        equal("what was read twice", [], group.ledger.repeated())
        group.check_committed(count)


def under_fire(kit, strategy):
    """Members come and go while brokers die and records are written."""
    with Group(kit, f"group-fire-{strategy}", strategy=strategy) as group:
        counts, errors = [], []

        def write():
            try:
                counts.append(kit.produce(group.topic))
            except Exception as error:
                errors.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        group.join("member-0")
        joined = 1
        while writer.is_alive():
            group.join(f"member-{joined}")
            writer.join(3)
            group.leave(f"member-{joined - 1}")
            joined += 1
        if errors:
            raise errors[0]
        group.until_read(counts[0], 2 * READ_TIMEOUT_S)
        group.check_committed(counts[0])
        print(f"{counts[0]} records, {joined} members, {len(group.ledger.repeated())} records read again", flush=True)


def run(report, kit):
    if FIRE_SECONDS:
        for strategy in kit.strategies:
            report.run(f"group.{strategy}", lambda: under_fire(kit, strategy))
        return
    report.run("group.join", lambda: join(kit))
    for strategy in kit.strategies:
        report.run(f"group.{strategy}", lambda: rebalance(kit, strategy))
    report.run("group.static", lambda: static(kit))
