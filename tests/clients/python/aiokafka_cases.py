"""Cases of aiokafka: produce, consume by assignment and in groups, transactions, admin."""

import asyncio
import contextlib

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced, for_code

import groups
import transactions
from contract import (
    BOOTSTRAP, FIRE_SECONDS, PARTITIONS, READ_TIMEOUT_S, Positions, Report, end, equal, key, rounds, timestamp, topic_name,
    value,
)

report = Report()
TOPIC_ALREADY_EXISTS = 36


async def eventually(what, condition):
    """Asks again and again until it is so; whoever is asked while brokers die may fail to answer."""

    async def holds():
        try:
            return await condition()
        except Exception:
            if not FIRE_SECONDS:
                raise
            return False

    async with asyncio.timeout(READ_TIMEOUT_S):
        while not await holds():
            await asyncio.sleep(0.02)


async def described(admin, topic):
    """The partitions of a topic, as far as they have leaders."""
    found = [one for one in await admin.describe_topics([topic]) if one["error_code"] == 0]
    return [one for one in (found[0]["partitions"] if found else []) if one["error_code"] == 0]


async def create(admin, name):
    topic = topic_name(name)

    async def made():
        answer = await admin.create_topics([NewTopic(name=topic, num_partitions=PARTITIONS, replication_factor=3)])
        code = answer.topic_errors[0][1]
        # Asked again because a broker died before it had answered, it is there already.
        if not (FIRE_SECONDS and code == TOPIC_ALREADY_EXISTS):
            equal("error of the creation", 0, code)
        return True

    await eventually("it is made", made)

    async def settled():
        return len(await described(admin, topic)) == PARTITIONS

    await eventually("it has leaders", settled)
    return topic


async def produce(topic, **configuration):
    configuration = {"acks": "all", "linger_ms": 5} | configuration
    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, **configuration)
    await producer.start()
    count = 0
    try:
        for lot in rounds():
            futures = [
                await producer.send(
                    topic, partition=i % PARTITIONS, key=key(i).encode(), value=value(topic, i).encode(),
                    timestamp_ms=timestamp(i), headers=[("n", str(i).encode())],
                )
                for i in lot
            ]
            await asyncio.wait_for(asyncio.gather(*futures), READ_TIMEOUT_S)
            count = lot[-1] + 1
    finally:
        await producer.stop()
    return count


def polled(batches):
    """What a reader is given, as the contract has it."""
    for records in batches.values():
        for record in records:
            headers = [(name, text.decode()) for name, text in record.headers]
            yield record.partition, record.offset, record.key.decode(), record.value.decode(), record.timestamp, headers


async def stop(client):
    # Its own tasks are ended while they wait for a broker that is dead, and it passes that on.
    with contextlib.suppress(asyncio.CancelledError):
        await client.stop()


async def verify(topic, count, first=None):
    first = {0: 0, 1: 0, 2: 0} if first is None else first
    reader = AIOKafkaConsumer(
        bootstrap_servers=BOOTSTRAP, group_id=None, auto_offset_reset="none", enable_auto_commit=False
    )
    await reader.start()
    try:
        reader.assign([TopicPartition(topic, partition) for partition in first])
        for partition, offset in first.items():
            reader.seek(TopicPartition(topic, partition), offset)
        positions = Positions(topic, count, first)
        while positions.behind():
            for found in polled(await reader.getmany(timeout_ms=200)):
                positions.take(*found)
    finally:
        await stop(reader)


class Looped:
    """A client in a loop of its own, which runs while the client is asked for something."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()

    def wait(self, what, timeout_s=READ_TIMEOUT_S):
        return self.loop.run_until_complete(asyncio.wait_for(what, timeout_s))

    def started(self, make):
        """Starts what `make` gives; who was to tell of the cluster may have died."""

        async def start():
            client = make()
            try:
                await client.start()
            except BaseException:
                await stop(client)
                raise
            return client

        for attempt in range(10):
            try:
                return self.wait(start())
            except (KafkaError, TimeoutError):
                if attempt == 9 or not FIRE_SECONDS:
                    raise

    def stopped(self, client):
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            self.wait(stop(client), 20)
        self.loop.close()


class Listener(ConsumerRebalanceListener):
    def __init__(self, member):
        self.member = member

    def on_partitions_assigned(self, assigned):
        self.member.assigned([one.partition for one in assigned])

    def on_partitions_revoked(self, revoked):
        self.member.revoked([one.partition for one in revoked])


class Member(Looped):
    def __init__(self, group, topic, listener, instance, strategy):
        super().__init__()
        self.topic = topic

        def make():
            reader = AIOKafkaConsumer(
                bootstrap_servers=BOOTSTRAP, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
                session_timeout_ms=10_000, heartbeat_interval_ms=500, group_instance_id=instance, max_poll_records=20,
                partition_assignment_strategy=[RangePartitionAssignor],
            )
            reader.subscribe([topic], listener=Listener(listener))
            return reader

        self.consumer = self.started(make)

    def poll(self):
        return list(polled(self.wait(self.consumer.getmany(timeout_ms=100))))

    def commit(self, offsets):
        places = {TopicPartition(self.topic, partition): offset for partition, offset in offsets.items()}
        self.wait(self.consumer.commit(places), 20)

    def close(self):
        self.stopped(self.consumer)


class Reader(Looped):
    def __init__(self, isolation, group=None):
        super().__init__()
        # It only commits in transactions, so that it need not be one of the group.
        self.consumer = self.started(
            lambda: AIOKafkaConsumer(
                bootstrap_servers=BOOTSTRAP, group_id=None, enable_auto_commit=False, isolation_level=isolation,
                max_poll_records=500 if FIRE_SECONDS else 20,
            )
        )

    def assign(self, topic, places):
        async def assign():
            self.consumer.assign([TopicPartition(topic, partition) for partition in places])
            for partition, offset in places.items():
                self.consumer.seek(TopicPartition(topic, partition), offset)

        self.wait(assign())

    def poll(self):
        return list(polled(self.wait(self.consumer.getmany(timeout_ms=200))))

    def close(self):
        self.stopped(self.consumer)


class Transactor(Looped):
    def __init__(self, name):
        super().__init__()
        self.producer = self.started(
            lambda: AIOKafkaProducer(
                bootstrap_servers=BOOTSTRAP, transactional_id=name, transaction_timeout_ms=20_000, request_timeout_ms=5_000,
                linger_ms=1,
            )
        )

    def begin(self):
        self.wait(self.producer.begin_transaction())

    def send(self, topic, partition, name, text, wait=True):
        sent = self.wait(self.producer.send(topic, partition=partition, key=name.encode(), value=text.encode()))
        if wait:
            self.wait(sent)

    def offsets(self, group, topic, places, reader):
        offsets = {TopicPartition(topic, partition): offset for partition, offset in places.items()}
        self.wait(self.producer.send_offsets_to_transaction(offsets, group))

    def commit(self):
        self.wait(self.producer.commit_transaction())

    def abort(self):
        self.wait(self.producer.abort_transaction())

    def close(self):
        # Nobody waits for what is still open: another producer of the name ends it.
        self.stopped(self.producer)


class Kit:
    strategies = ("eager",)
    fenced_errors = (InvalidProducerEpoch, ProducerFenced)
    member = Member
    transactor = Transactor
    reader = Reader

    @staticmethod
    def create(name):
        async def made():
            admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
            await admin.start()
            try:
                return await create(admin, name)
            finally:
                await admin.close()

        return asyncio.run(made())

    @staticmethod
    def produce(topic):
        return asyncio.run(produce(topic, enable_idempotence=True))

    @staticmethod
    def committed(group, topic):
        async def asked():
            admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
            await admin.start()
            try:
                return await admin.list_consumer_group_offsets(group)
            finally:
                await admin.close()

        found = asyncio.run(asked())
        return {place.partition: told.offset for place, told in found.items() if place.topic == topic and told.offset >= 0}


async def from_timestamp(admin):
    topic = await create(admin, "timestamp")
    count = await produce(topic, max_batch_size=400)
    reader = AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id=None, enable_auto_commit=False)
    await reader.start()
    try:
        partition = TopicPartition(topic, 1)
        reader.assign([partition])
        # Partition 1 has the records 1, 4, 7 ...: the first not before record 41 is 43, at offset 14.
        found = (await reader.offsets_for_times({partition: timestamp(41)}))[partition]
        equal("offset and timestamp", (14, timestamp(43)), (found.offset, found.timestamp))
        after = await reader.offsets_for_times({partition: timestamp(count + 10)})
        equal("after every record", None, after[partition])
        equal("ends", {partition: end(count, 1)}, await reader.end_offsets([partition]))
    finally:
        await reader.stop()
    await verify(topic, count, {1: 14})


async def topics(admin):
    topic = await create(admin, "created")
    for partition in await described(admin, topic):
        found = (sorted(partition["replicas"]), sorted(partition["isr"]))
        equal("replicas and ISR", ([1, 2, 3], [1, 2, 3]), found)
    again = await admin.create_topics([NewTopic(name=topic, num_partitions=1, replication_factor=1)])
    equal("created twice", "TopicAlreadyExistsError", for_code(again.topic_errors[0][1]).__name__)
    await admin.create_partitions({topic: NewPartitions(total_count=5)})

    async def grown():
        return len(await described(admin, topic)) == 5

    await eventually("five partitions", grown)
    await admin.delete_topics([topic])

    async def gone():
        return topic not in await admin.list_topics()

    await eventually("it is gone", gone)


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()

    async def round_trip(name, **configuration):
        topic = await create(admin, name)
        await verify(topic, await produce(topic, **configuration))

    async def from_offset():
        topic = await create(admin, "offset")
        await verify(topic, await produce(topic), {0: 7, 1: 29, 2: 0})

    for codec in (None, "gzip", "snappy", "lz4", "zstd"):
        name = codec or "none"
        # Without idempotence a lost answer may well mean a record twice: then it proves nothing while brokers die.
        how = {"compression_type": codec, "enable_idempotence": FIRE_SECONDS > 0}
        await report.run_async(f"produce.{name}", lambda: round_trip(f"produce-{name}", **how))
    await report.run_async("idempotent", lambda: round_trip("idempotent", enable_idempotence=True))
    if not FIRE_SECONDS:
        for acks in (0, 1, "all"):
            await report.run_async(f"acks.{acks}", lambda: round_trip(f"acks-{acks}", acks=acks))
        await report.run_async("consume.offset", from_offset)
        await report.run_async("consume.timestamp", lambda: from_timestamp(admin))
        await report.run_async("topics", lambda: topics(admin))
    await admin.close()


asyncio.run(main())
groups.run(report, Kit)
transactions.run(report, Kit)
report.done()
