"""Cases of transactions, the same for every client: commit, abort, a zombie that is fenced, and copying with offsets.

A client comes as a kit, with `create(name)`, `produce(topic)`, `committed(group, topic)`, `transactor(name)`, `fenced_errors` and
`reader(isolation, group)`. A transactor has `begin()`, `send(topic, partition, key, value)`, which returns when it is acknowledged,
`offsets(places, reader)`, `commit()`, `abort()` and `close()`; a reader has `assign({partition: offset})`, `poll()`, and `close()`.
"""

import time

from contract import FIRE_SECONDS, PARTITIONS, READ_TIMEOUT_S, end, equal, topic_name, value


def read(kit, topic, enough, isolation):
    """The values of a topic by partition, once there are so many."""
    found = {}
    reader = kit.reader(isolation)
    try:
        reader.assign(topic, dict.fromkeys(range(PARTITIONS), 0))
        deadline = time.monotonic() + READ_TIMEOUT_S
        count = 0
        while count < enough:
            if time.monotonic() > deadline:
                raise AssertionError(f"{count} of {enough} records of {topic}, {isolation}")
            for record in reader.poll():
                found.setdefault(record[0], []).append(record[3])
                count += 1
        # What was aborted after the last one would be next.
        for record in reader.poll():
            found.setdefault(record[0], []).append(record[3])
    finally:
        reader.close()
    return found


def abort(kit):
    """Of four transactions two are given up: their records are there for who reads everything only."""
    topic = kit.create("aborted")
    transactor = kit.transactor(topic_name("aborter"))
    try:
        for text in "abcd":
            transactor.begin()
            transactor.send(topic, 0, "key", text)
            if text in "bd":
                transactor.abort()
            else:
                transactor.commit()
    finally:
        transactor.close()
    equal("committed records", {0: ["a", "c"]}, read(kit, topic, 2, "read_committed"))
    equal("all records", {0: ["a", "b", "c", "d"]}, read(kit, topic, 4, "read_uncommitted"))


def fenced(kit):
    """A producer that was replaced by another of its name cannot commit."""
    topic = kit.create("fenced")
    name = topic_name("fenced")
    zombie = kit.transactor(name)
    following = None
    try:
        zombie.begin()
        zombie.send(topic, 1, "key", "zombie")
        following = kit.transactor(name)
        following.begin()
        following.send(topic, 1, "key", "next")
        try:
            zombie.commit()
        except kit.fenced_errors:
            pass
        else:
            raise AssertionError("a producer that was replaced has committed")
        following.commit()
    finally:
        zombie.close()
        if following:
            following.close()
    equal("committed records", {1: ["next"]}, read(kit, topic, 1, "read_committed"))


def copy(kit):
    """Copies every record of a topic and its own place in it, in transactions; each fifth is given up on purpose."""
    source, target, name = kit.create("copied-from"), kit.create("copied-to"), topic_name("copier")
    count = kit.produce(source)
    goal = {partition: end(count, partition) for partition in range(PARTITIONS)}
    places = dict.fromkeys(range(PARTITIONS), 0)
    transactor, reader = kit.transactor(name), kit.reader("read_committed", name)
    reader.assign(source, places)
    deadline = time.monotonic() + 2 * READ_TIMEOUT_S + 3 * FIRE_SECONDS
    turn = 0
    try:
        while places != goal:
            if time.monotonic() > deadline:
                raise AssertionError(f"copied to {places} of {goal}")
            records = reader.poll()
            if not records:
                continue
            turn += 1
            after = places | {partition: offset + 1 for partition, offset, *_ in records}
            try:
                transactor.begin()
                for partition, _, key, text, *_ in records:
                    transactor.send(target, partition, key, text, wait=False)
                transactor.offsets(name, source, after, reader)
                if turn % 5 == 0:
                    transactor.abort()
                    reader.assign(source, places)
                else:
                    transactor.commit()
                    places = after
            except Exception as error:
                if not FIRE_SECONDS:
                    raise
                # What a program does that does not want to tell errors apart: another producer ends what is open.
                print(f"copy: again after {type(error).__name__}: {error}", flush=True)
                transactor.close()
                transactor = kit.transactor(name)
                places = dict.fromkeys(range(PARTITIONS), 0) | kit.committed(name, source)
                reader.assign(source, places)
    finally:
        transactor.close()
        reader.close()
    expected = {partition: [value(source, i) for i in range(partition, count, PARTITIONS)] for partition in range(PARTITIONS)}
    found = read(kit, target, count, "read_committed")
    for partition, values in expected.items():
        equal(f"how many copies are in partition {partition}", len(values), len(found.get(partition, [])))
        for one, other in zip(values, found[partition]):
            equal(f"a copy in partition {partition}", one, other)
    equal("the place that is committed", goal, kit.committed(name, source))


def run(report, kit):
    report.run("transactions.copy", lambda: copy(kit))
    if not FIRE_SECONDS:
        report.run("transactions.abort", lambda: abort(kit))
        report.run("transactions.fenced", lambda: fenced(kit))
