"""Cases of aiokafka: produce, consume by assignment, admin."""

import asyncio
import contextlib

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import for_code

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
            for records in (await reader.getmany(timeout_ms=200)).values():
                for record in records:
                    headers = [(name, text.decode()) for name, text in record.headers]
                    found = (record.key.decode(), record.value.decode(), record.timestamp, headers)
                    positions.take(record.partition, record.offset, *found)
    finally:
        # Its own tasks are ended while they wait for a broker that is dead, and it passes that on.
        with contextlib.suppress(asyncio.CancelledError):
            await reader.stop()


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
    report.done()


asyncio.run(main())
