"""confluent-kafka as the cases use it: topics, records, members of groups, readers, and producers of transactions."""

import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from contract import BOOTSTRAP, FIRE_SECONDS, PARTITIONS, equal, eventually, key, rounds, timestamp, topic_name, value

# A dead broker is up again sooner than the library would try again by itself.
SERVERS = {"bootstrap.servers": ",".join(BOOTSTRAP), "topic.metadata.refresh.fast.interval.ms": 100, "reconnect.backoff.max.ms": 500}
admin = AdminClient(SERVERS)
TIMEOUT_S = 60
# How many records are copied in a transaction.
LOT = 500 if FIRE_SECONDS else 20
TOPIC_ALREADY_EXISTS = 36


def described(topic):
    found = admin.list_topics(topic, timeout=10).topics[topic]
    return [one for one in found.partitions.values() if one.error is None and one.leader > 0] if found.error is None else []


def create(name, partitions=PARTITIONS):
    topic = topic_name(name)

    def made():
        try:
            admin.create_topics([NewTopic(topic, partitions, 3)])[topic].result(TIMEOUT_S)
        except KafkaException as error:
            # The client asks again when a broker dies before it has answered.
            if not (FIRE_SECONDS and error.args[0].code() == TOPIC_ALREADY_EXISTS):
                raise
        return True

    eventually("it is made", made)
    eventually("it has leaders", lambda: len(described(topic)) == partitions)
    return topic


def produce(topic, **configuration):
    wrong = []
    producer = Producer(SERVERS | {"linger.ms": 5, "enable.idempotence": True} | configuration)
    count = 0
    for lot in rounds():
        for i in lot:
            producer.produce(
                topic, partition=i % PARTITIONS, key=key(i), value=value(topic, i), timestamp=timestamp(i),
                headers=[("n", str(i).encode())], on_delivery=lambda error, message: error and wrong.append(error),
            )
            producer.poll(0)
        equal("what is not sent", 0, producer.flush(2 * TIMEOUT_S))
        equal("errors", [], wrong[:1])
        count = lot[-1] + 1
    return count


def record(message):
    """A message as the contract has it, or None for what is no message."""
    if message.error():
        print(f"{message.topic()}-{message.partition()} at {message.offset()}: {message.error()}", flush=True)
        if not message.error().retriable() and not FIRE_SECONDS:
            raise KafkaException(message.error())
        return None
    headers = [(name, text.decode()) for name, text in message.headers() or []]
    found = (message.key().decode(), message.value().decode(), message.timestamp()[1], headers)
    return (message.partition(), message.offset(), *found)


class Reader:
    def __init__(self, isolation="read_uncommitted", group=None):
        how = {"group.id": group or "nobody", "enable.auto.commit": False, "isolation.level": isolation}
        self.consumer = Consumer(SERVERS | how | {"auto.offset.reset": "error"})

    def assign(self, topic, places):
        self.consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in places.items()])

    def poll(self):
        return [found for found in map(record, self.consumer.consume(LOT, 0.2)) if found]

    def close(self):
        self.consumer.close()


class Member:
    def __init__(self, group, topic, listener, instance, strategy):
        how = {"group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest", "session.timeout.ms": 10_000}
        how |= {"heartbeat.interval.ms": 500, "fetch.wait.max.ms": 100}
        how |= {"partition.assignment.strategy": "cooperative-sticky" if strategy == "cooperative" else "range"}
        how |= {"group.instance.id": instance} if instance else {}
        self.topic = topic
        self.consumer = Consumer(SERVERS | how)
        numbers = lambda places: [place.partition for place in places]
        self.consumer.subscribe(
            [topic], on_assign=lambda _, places: listener.assigned(numbers(places)),
            on_revoke=lambda _, places: listener.revoked(numbers(places)), on_lost=lambda _, places: listener.revoked(numbers(places)),
        )

    def poll(self):
        # One at a time: what a longer list has may be of a partition that is gone before the list is looked at.
        message = self.consumer.poll(0.1)
        found = message and record(message)
        return [found] if found else []

    def commit(self, offsets):
        places = [TopicPartition(self.topic, partition, offset) for partition, offset in offsets.items()]
        for place in self.consumer.commit(offsets=places, asynchronous=False):
            if place.error:
                raise KafkaException(place.error)

    def close(self):
        self.consumer.close()


class Transactor:
    def __init__(self, name):
        how = {"transactional.id": name, "transaction.timeout.ms": 20_000, "linger.ms": 1}
        self.producer = Producer(SERVERS | how)
        deadline = time.monotonic() + 2 * TIMEOUT_S
        while True:
            try:
                self.producer.init_transactions(30)
                return
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise

    def begin(self):
        self.producer.begin_transaction()

    def send(self, topic, partition, name, text, wait=True):
        wrong = []
        self.producer.produce(topic, text, name, partition, on_delivery=lambda error, _: error and wrong.append(error))
        if wait:
            self.producer.flush(30)
            if wrong:
                raise KafkaException(wrong[0])

    def offsets(self, group, topic, places, reader):
        places = [TopicPartition(topic, partition, offset) for partition, offset in places.items()]
        self.again(self.producer.send_offsets_to_transaction, places, reader.consumer.consumer_group_metadata())

    def commit(self):
        self.again(self.producer.commit_transaction)

    def abort(self):
        self.again(self.producer.abort_transaction)

    def again(self, call, *words):
        """As the library asks for it: what is retriable is called again."""
        for _ in range(4):
            try:
                return call(*words, 15)
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise
        return call(*words, 15)

    def close(self):
        # What is left is not worth waiting for: another producer of the name has been or will be made.
        self.producer = None


class Kit:
    strategies = ("eager", "cooperative")
    fenced_errors = (KafkaException,)
    create = staticmethod(create)
    produce = staticmethod(produce)
    member = Member
    transactor = Transactor
    reader = Reader

    @staticmethod
    def committed(group, topic):
        places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])
        found = asked[group].result(TIMEOUT_S).topic_partitions
        return {place.partition: place.offset for place in found if place.offset >= 0}
