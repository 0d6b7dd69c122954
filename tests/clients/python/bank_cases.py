"""Transfers between accounts while brokers and coordinators die: exactly once, and no money comes or goes.

A teller writes requests. Each clerk reads those of one partition and, in a transaction, takes the amount from one account, gives it
to another one, which is in another partition, and commits its place among the requests; some transactions are given up on purpose.
From time to time everybody pauses, and an auditor who reads committed records only adds up everything there is: the sum is what
was paid in at first. At the end each request was carried out once, and no transaction is left open.
"""

import json
import random
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter

from confluent_kafka import KafkaException, Producer, TopicPartition

from confluent_kit import SERVERS, Kit, Reader, Transactor, create
from contract import BOOTSTRAP, FIRE_SECONDS, PARTITIONS, Report, equal, topic_name

COMMAND = sys.argv.pop(1).split("\x1f")
SECONDS = int(sys.argv.pop(1))
ACCOUNTS = 12
DEPOSIT = 1_000
AUDIT_EVERY_S = 15
REQUESTS_A_SECOND = 100
IN_A_TRANSACTION = 20
PATIENCE_S = 120
TOOL_TIMEOUT_S = 90


class Barrier:
    """Lets everybody go on, or holds them all between two transactions."""

    def __init__(self, parties):
        self.condition = threading.Condition()
        self.parties = parties
        self.waiting = 0
        self.closed = False

    def pass_by(self):
        with self.condition:
            if self.closed:
                self.waiting += 1
                self.condition.notify_all()
                self.condition.wait_for(lambda: not self.closed)
                self.waiting -= 1

    def gone(self):
        with self.condition:
            self.parties -= 1
            self.condition.notify_all()

    def __enter__(self):
        with self.condition:
            self.closed = True
            if not self.condition.wait_for(lambda: self.waiting == self.parties, PATIENCE_S):
                raise AssertionError(f"{self.waiting} of {self.parties} wait after {PATIENCE_S} s")

    def __exit__(self, *_):
        with self.condition:
            self.closed = False
            self.condition.notify_all()


class Bank:
    def __init__(self):
        self.requests, self.accounts, self.group = create("requests"), create("accounts"), topic_name("clerks")
        self.barrier = Barrier(PARTITIONS)
        self.written = [0] * PARTITIONS
        self.over = threading.Event()
        self.wrong = []
        self.again = 0
        self.given_up = 0
        self.audits = 0

    def deposit(self):
        transactor = Transactor(topic_name("depositor"))
        transactor.begin()
        for account in range(ACCOUNTS):
            self.book(transactor, account, DEPOSIT, "deposit")
        transactor.commit()

    def book(self, transactor, account, amount, request):
        entry = json.dumps({"amount": amount, "request": request})
        transactor.send(self.accounts, account % PARTITIONS, str(account), entry, wait=False)

    def guarded(self, body):
        def run():
            try:
                body()
            except Exception as error:  # It has to reach the verdict, whatever it is.
                traceback.print_exc()
                self.wrong.append(f"{type(error).__name__}: {error}")

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def teller(self):
        """Writes requests, as many a second as asked for; a request is counted when it is acknowledged."""
        producer = Producer(SERVERS | {"linger.ms": 5, "enable.idempotence": True})
        choose = random.Random(1)
        deadline = time.monotonic() + SECONDS
        wrong = []
        while time.monotonic() < deadline:
            for partition in range(PARTITIONS):
                for _ in range(REQUESTS_A_SECOND // 10 // PARTITIONS + 1):
                    giver, taker = choose.sample(range(ACCOUNTS), 2)
                    text = json.dumps({"giver": giver, "taker": taker, "amount": choose.randint(1, 50)})
                    producer.produce(self.requests, text, f"r{partition}-{self.written[partition]}", partition,
                                     on_delivery=lambda error, _: error and wrong.append(error))
                    self.written[partition] += 1
            equal("requests not sent", 0, producer.flush(PATIENCE_S))
            equal("errors of the teller", [], wrong[:1])
            time.sleep(0.1)
        self.over.set()

    def clerk(self, partition):
        """Carries out the requests of a partition, some at a time, until all are."""
        name = topic_name(f"clerk-{partition}")
        choose = random.Random(partition)
        transactor, reader, place = Transactor(name), Reader("read_committed", self.group), 0
        reader.assign(self.requests, {partition: 0})
        give_up_at = time.monotonic() + SECONDS + PATIENCE_S
        while not (self.over.is_set() and place == self.written[partition]):
            self.barrier.pass_by()
            if time.monotonic() > give_up_at:
                raise AssertionError(f"{name} is at {place} of {self.written[partition]}")
            records = reader.poll()[:IN_A_TRANSACTION]
            if not records:
                continue
            try:
                equal(f"the next request for {name}", place, records[0][1])
                transactor.begin()
                for _, offset, request, text, *_ in records:
                    asked = json.loads(text)
                    self.book(transactor, asked["giver"], -asked["amount"], request)
                    self.book(transactor, asked["taker"], asked["amount"], request)
                after = records[-1][1] + 1
                transactor.offsets(self.group, self.requests, {partition: after}, reader)
                if choose.random() < 0.1:
                    transactor.abort()
                    self.given_up += 1
                else:
                    transactor.commit()
                    place = after
            except KafkaException as error:
                # Another producer of the name ends what is open, one way or the other: what is committed then tells.
                print(f"{name}: again after {error}", flush=True)
                self.again += 1
                transactor.close()
                transactor = Transactor(name)
                place = self.committed().get(partition, 0)
            reader.assign(self.requests, {partition: place})
        self.barrier.gone()
        transactor.close()
        reader.close()

    def committed(self):
        for attempt in range(20):
            try:
                return Kit.committed(self.group, self.requests)
            except KafkaException:
                if attempt == 19:
                    raise

    def audit(self):
        """Adds up all that is committed, while nobody has a transaction open."""
        with self.barrier:
            entries = [json.loads(one[3]) for one in self.all()]
            equal("the sum of all accounts", ACCOUNTS * DEPOSIT, sum(one["amount"] for one in entries))
            halves = Counter(one["request"] for one in entries)
            halves.pop("deposit")
            equal("requests that were not carried out just once", {}, {r: n for r, n in halves.items() if n != 2})
            self.audits += 1
            return halves

    def all(self):
        """Every committed record of the accounts, to the end that there is now."""
        reader = Reader("read_committed")
        try:
            places = [TopicPartition(self.accounts, partition) for partition in range(PARTITIONS)]
            ends = [self.end(reader, place) for place in places]
            reader.assign(self.accounts, dict.fromkeys(range(PARTITIONS), 0))
            found = []
            deadline = time.monotonic() + PATIENCE_S
            while True:
                found += reader.poll()
                positions = [place.offset for place in reader.consumer.position(places)]
                if all(position >= end for position, end in zip(positions, ends)):
                    return found
                if time.monotonic() > deadline:
                    raise AssertionError(f"the auditor is at {positions} of {ends}")
        finally:
            reader.close()

    def end(self, reader, place):
        for attempt in range(20):
            try:
                return reader.consumer.get_watermark_offsets(place, 10)[1]
            except KafkaException:
                if attempt == 19:
                    raise

    def run(self):
        self.deposit()
        threads = [self.guarded(self.teller)]
        threads += [self.guarded(lambda partition=partition: self.clerk(partition)) for partition in range(PARTITIONS)]
        while threads[0].is_alive():
            threads[0].join(AUDIT_EVERY_S)
            equal("errors", [], self.wrong)
            if threads[0].is_alive():
                self.audit()
        for thread in threads:
            thread.join(PATIENCE_S)
        equal("errors", [], self.wrong)
        done = self.audit()
        asked = {f"r{partition}-{i}" for partition in range(PARTITIONS) for i in range(self.written[partition])}
        equal("requests that were not carried out", [], sorted(asked - set(done))[:5])
        equal("requests that nobody made", [], sorted(set(done) - asked)[:5])
        print(f"{len(asked)} transfers, {self.audits} audits, {self.given_up} transactions given up, {self.again} begun again", flush=True)


def tool(*words):
    words = [*COMMAND, "org.apache.kafka.tools.TransactionsCommand", "--bootstrap-server", ",".join(BOOTSTRAP), *words]
    run = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=False)
    print(run.stdout, run.stderr[:2000], flush=True)
    return run.returncode, run.stdout


def nothing_hangs():
    """kafka-transactions sees no open transaction; whoever is asked while brokers die may fail to answer."""

    def asked(*words):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            code, told = tool(*words)
            if code == 0:
                return told
            if time.monotonic() > deadline:
                raise AssertionError(f"{' '.join(words)} ended with {code}")

    for broker in ("1", "2", "3"):
        told = asked("find-hanging", "--broker-id", broker, "--max-transaction-timeout", "0").strip().splitlines()
        equal(f"hanging transactions on broker {broker}", [], told[1:])
    listed = [row.split() for row in asked("list").strip().splitlines()[1:]]
    equal("transactions that are open", [], [row for row in listed if row[0].startswith(topic_name("")) and "Complete" not in row[-1]])


report = Report()
bank = Bank()
report.run("sum", bank.run)
report.run("find-hanging", nothing_hangs)
report.done()
