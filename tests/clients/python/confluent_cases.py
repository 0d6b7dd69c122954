"""Cases of confluent-kafka, librdkafka for Python: produce, consume by assignment and in groups, transactions, admin."""

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import ConfigResource, NewPartitions, NewTopic

import groups
import transactions
from confluent_kit import TIMEOUT_S, TOPIC_ALREADY_EXISTS, Kit, Reader, admin, create, described, produce
from contract import FIRE_SECONDS, Positions, Report, end, equal, eventually, rounds, timestamp, topic_name

report = Report()


def verify(topic, count, first=None):
    first = {0: 0, 1: 0, 2: 0} if first is None else first
    reader = Reader()
    reader.assign(topic, first)
    positions = Positions(topic, count, first)
    while positions.behind():
        for found in reader.poll():
            positions.take(*found)
    reader.close()


def round_trip(name, **configuration):
    topic = create(name)
    verify(topic, produce(topic, **configuration))


def from_timestamp():
    topic = create("timestamp")
    count = produce(topic, **{"batch.num.messages": 1})
    reader = Reader()
    # Partition 1 has the records 1, 4, 7 ...: the first not before record 41 is 43, at offset 14.
    asked = lambda when: reader.consumer.offsets_for_times([TopicPartition(topic, 1, when)], TIMEOUT_S)[0].offset
    equal("offset", 14, asked(timestamp(41)))
    equal("after every record", -1, asked(timestamp(count + 10)))
    equal("watermarks", (0, end(count, 1)), reader.consumer.get_watermark_offsets(TopicPartition(topic, 1), TIMEOUT_S))
    reader.close()
    verify(topic, count, {1: 14})


def topics():
    topic = create("created")
    for partition in described(topic):
        equal("replicas and ISR", ([1, 2, 3], [1, 2, 3]), (sorted(partition.replicas), sorted(partition.isrs)))
    try:
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(TIMEOUT_S)
    except KafkaException as error:
        equal("created twice", TOPIC_ALREADY_EXISTS, error.args[0].code())
    else:
        raise AssertionError("created twice")
    admin.create_partitions([NewPartitions(topic, 5)])[topic].result(TIMEOUT_S)
    eventually("five partitions", lambda: len(described(topic)) == 5)
    admin.delete_topics([topic])[topic].result(TIMEOUT_S)
    eventually("it is gone", lambda: topic not in admin.list_topics(timeout=10).topics)


def configs():
    resource = ConfigResource(ConfigResource.Type.TOPIC, create("configured", 1), set_config={"retention.ms": "7200000"})
    admin.alter_configs([resource])[resource].result(TIMEOUT_S)
    asked = lambda: admin.describe_configs([resource])[resource].result(TIMEOUT_S)["retention.ms"].value
    eventually("retention.ms is 7200000", lambda: asked() == "7200000")


def described_group():
    """What the admin client tells of a group with a member and of one without."""
    with groups.Group(Kit, "group-described") as group:
        group.join("only")
        group.until_split("only")
        listed = [one.group_id for one in admin.list_consumer_groups().result(TIMEOUT_S).valid]
        equal("listed", [group.name], [name for name in listed if name == group.name])
        told = admin.describe_consumer_groups([group.name])[group.name].result(TIMEOUT_S)
        equal("state, members and assignor", ("STABLE", 1, "range"), (told.state.name, len(told.members), told.partition_assignor))
        owned = sorted(place.partition for place in told.members[0].assignment.topic_partitions)
        equal("assignment", [0, 1, 2], owned)
        produce(group.topic)
        group.until("all is read", lambda: not group.ledger.missing(len(next(rounds()))))
        group.leave("only")
        moved = [TopicPartition(group.topic, 1, 7)]
        admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group.name, moved)])[group.name].result(TIMEOUT_S)
        equal("what was set", 7, Kit.committed(group.name, group.topic)[1])
        admin.delete_consumer_groups([group.name])[group.name].result(TIMEOUT_S)
        listed = [one.group_id for one in admin.list_consumer_groups().result(TIMEOUT_S).valid]
        equal("listed after it was deleted", False, group.name in listed)


for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
    report.run(f"produce.{codec}", lambda: round_trip(f"produce-{codec}", **{"compression.type": codec}))
if not FIRE_SECONDS:
    for acks in ("0", "1", "all"):
        report.run(f"acks.{acks}", lambda: round_trip(f"acks-{acks}", **{"acks": acks, "enable.idempotence": False}))
    report.run("consume.offset", lambda: verify(t := create("offset"), produce(t), {0: 7, 1: 29, 2: 0}))
    report.run("consume.timestamp", from_timestamp)
    report.run("topics", topics)
    report.run("configs", configs)
    report.run("group.admin", described_group)
groups.run(report, Kit)
transactions.run(report, Kit)
report.done()
