"""Cases of kafka-python: produce, consume by assignment and in groups, transactions, admin."""

import time

from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import InvalidProducerEpochError, KafkaTimeoutError, ProducerFencedError, TopicAlreadyExistsError

import groups
import transactions
from contract import (
    BOOTSTRAP, FIRE_SECONDS, PARTITIONS, Positions, Report, end, equal, eventually, key, rounds, timestamp, topic_name, value,
)

report = Report()
admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def described(topic):
    """The partitions of a topic, as far as they have leaders."""
    found = [one for one in admin.describe_topics([topic]) if one["error_code"] == 0]
    return [one for one in (found[0]["partitions"] if found else []) if one["error_code"] == 0]


def create(name, partitions=PARTITIONS):
    topic = topic_name(name)

    def made():
        try:
            admin.create_topics([NewTopic(name=topic, num_partitions=partitions, replication_factor=3)])
        except TopicAlreadyExistsError:
            # The client asks again when a broker dies before it has answered.
            if not FIRE_SECONDS:
                raise
        return True

    eventually("it is made", made)
    eventually("it has leaders", lambda: len(described(topic)) == partitions)
    return topic


def produce(topic, **configuration):
    configuration = {"acks": "all", "linger_ms": 5, "delivery_timeout_ms": 120_000} | configuration
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, **configuration)
    count = 0
    for lot in rounds():
        futures = [
            producer.send(
                topic, partition=i % PARTITIONS, key=key(i).encode(), value=value(topic, i).encode(),
                timestamp_ms=timestamp(i), headers=[("n", str(i).encode())],
            )
            for i in lot
        ]
        producer.flush()
        for future in futures:
            future.get(timeout=60)
        count = lot[-1] + 1
    producer.close()
    return count


def consumer(**configuration):
    configuration = {"group_id": None, "auto_offset_reset": "none", "enable_auto_commit": False} | configuration
    return KafkaConsumer(bootstrap_servers=BOOTSTRAP, **configuration)


def polled(reader):
    """What a reader is given, as the contract has it."""
    for records in reader.poll(timeout_ms=100).values():
        for record in records:
            headers = [(name, text.decode()) for name, text in record.headers]
            yield record.partition, record.offset, record.key.decode(), record.value.decode(), record.timestamp, headers


class Listener(ConsumerRebalanceListener):
    def __init__(self, member):
        self.member = member

    def on_partitions_assigned(self, assigned):
        self.member.assigned([one.partition for one in assigned])

    def on_partitions_revoked(self, revoked):
        self.member.revoked([one.partition for one in revoked])


def places_of(topic, offsets):
    return {TopicPartition(topic, partition): OffsetAndMetadata(offset, "", -1) for partition, offset in offsets.items()}


class Member:
    def __init__(self, group, topic, listener, instance, strategy):
        assignor = CooperativeStickyAssignor if strategy == "cooperative" else RangePartitionAssignor
        self.topic = topic
        self.consumer = consumer(
            group_id=group, auto_offset_reset="earliest", session_timeout_ms=10_000, heartbeat_interval_ms=500,
            partition_assignment_strategy=[assignor], group_instance_id=instance, max_poll_records=20,
        )
        self.consumer.subscribe([topic], listener=Listener(listener))

    def poll(self):
        return list(polled(self.consumer))

    def commit(self, offsets):
        self.consumer.commit(places_of(self.topic, offsets), timeout_ms=20_000)

    def close(self):
        self.consumer.close(autocommit=False)


class Reader:
    def __init__(self, isolation, group=None):
        self.consumer = consumer(isolation_level=isolation, group_id=group, max_poll_records=500 if FIRE_SECONDS else 20)

    def assign(self, topic, places):
        self.consumer.assign([TopicPartition(topic, partition) for partition in places])
        for partition, offset in places.items():
            self.consumer.seek(TopicPartition(topic, partition), offset)

    def poll(self):
        return list(polled(self.consumer))

    def close(self):
        self.consumer.close(autocommit=False)


class Transactor:
    def __init__(self, name):
        deadline = time.monotonic() + 120
        while True:
            self.producer = KafkaProducer(
                bootstrap_servers=BOOTSTRAP, transactional_id=name, transaction_timeout_ms=20_000, delivery_timeout_ms=30_000,
                request_timeout_ms=5_000, linger_ms=1, max_block_ms=30_000,
            )
            try:
                self.producer.init_transactions()
                return
            except KafkaTimeoutError:
                self.close()
                if time.monotonic() > deadline:
                    raise

    def begin(self):
        self.producer.begin_transaction()

    def send(self, topic, partition, name, text, wait=True):
        future = self.producer.send(topic, partition=partition, key=name.encode(), value=text.encode())
        if wait:
            future.get(timeout=30)

    def offsets(self, group, topic, places, reader):
        self.producer.send_offsets_to_transaction(places_of(topic, places), reader.consumer.group_metadata())

    def commit(self):
        self.producer.commit_transaction()

    def abort(self):
        self.producer.abort_transaction()

    def close(self):
        self.producer.close(timeout=0)


class Kit:
    strategies = ("eager", "cooperative")
    fenced_errors = (InvalidProducerEpochError, ProducerFencedError)
    create = staticmethod(create)
    produce = staticmethod(produce)
    member = Member
    transactor = Transactor
    reader = Reader

    @staticmethod
    def committed(group, topic):
        reader = consumer(group_id=group)
        try:
            found = {partition: reader.committed(TopicPartition(topic, partition)) for partition in range(PARTITIONS)}
        finally:
            reader.close(autocommit=False)
        return {partition: offset for partition, offset in found.items() if offset is not None}


def verify(topic, count, first=None):
    first = {0: 0, 1: 0, 2: 0} if first is None else first
    reader = consumer()
    reader.assign([TopicPartition(topic, partition) for partition in first])
    for partition, offset in first.items():
        reader.seek(TopicPartition(topic, partition), offset)
    positions = Positions(topic, count, first)
    while positions.behind():
        for found in polled(reader):
            positions.take(*found)
    reader.close()


def round_trip(name, **configuration):
    topic = create(name)
    verify(topic, produce(topic, **configuration))


def from_timestamp():
    topic = create("timestamp")
    count = produce(topic, batch_size=0)
    reader = consumer()
    partition = TopicPartition(topic, 1)
    # Partition 1 has the records 1, 4, 7 ...: the first not before record 41 is 43, at offset 14.
    found = reader.offsets_for_times({partition: timestamp(41)})[partition]
    equal("offset and timestamp", (14, timestamp(43)), (found.offset, found.timestamp))
    equal("after every record", None, reader.offsets_for_times({partition: timestamp(count + 10)})[partition])
    equal("ends", {partition: end(count, 1)}, reader.end_offsets([partition]))
    reader.close()
    verify(topic, count, {1: 14})


def topics():
    topic = create("created")
    for partition in described(topic):
        found = (sorted(partition["replica_nodes"]), sorted(partition["isr_nodes"]))
        equal("replicas and ISR", ([1, 2, 3], [1, 2, 3]), found)
    try:
        admin.create_topics([NewTopic(name=topic, num_partitions=1, replication_factor=1)])
    except TopicAlreadyExistsError:
        pass
    else:
        raise AssertionError("created twice")
    admin.create_partitions({topic: NewPartitions(total_count=5)})
    eventually("five partitions", lambda: len(described(topic)) == 5)
    admin.delete_topics([topic])
    eventually("it is gone", lambda: topic not in admin.list_topics())


def configs():
    topic = create("configured", 1)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "7200000"})])

    def retention():
        answer = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        return "7200000" in str(answer)

    eventually("retention.ms is 7200000", retention)


for codec in (None, "gzip", "snappy", "lz4", "zstd"):
    report.run(f"produce.{codec or 'none'}", lambda: round_trip(f"produce-{codec or 'none'}", compression_type=codec))
report.run("idempotent", lambda: round_trip("idempotent", enable_idempotence=True))
if not FIRE_SECONDS:
    for acks in (0, 1, "all"):
        report.run(f"acks.{acks}", lambda: round_trip(f"acks-{acks}", acks=acks, enable_idempotence=False))
    report.run("consume.offset", lambda: verify(t := create("offset"), produce(t), {0: 7, 1: 29, 2: 0}))
    report.run("consume.timestamp", from_timestamp)
    report.run("topics", topics)
    report.run("configs", configs)
groups.run(report, Kit)
transactions.run(report, Kit)
report.done()
