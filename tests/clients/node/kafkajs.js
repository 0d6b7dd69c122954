// Cases of kafkajs: produce, groups, transactions, admin. Its consumer needs a group, so kcat reads what was written in the other cases.
'use strict';

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, PartitionAssigners, Partitioners, logLevel } = require('kafkajs');
const lz4 = require('lz4-napi');
const snappy = require('snappyjs');
const { ZstdCodec } = require('zstd-codec');

const {
  BOOTSTRAP, FIRE_SECONDS, PARTITIONS, RECORDS, done, equal, eventually: eventuallyOf, key, rounds, run, timestamp, topicName, value, verify,
} = require('./contract');
const { groups, transactions } = require('./groups');

// kafkajs brings gzip alone; the others are for its user to add.
const none = async () => {
  throw new Error('nothing is read here');
};
const codec = (compress) => () => ({ compress: async (encoder) => Buffer.from(await compress(encoder.buffer)), decompress: none });
CompressionCodecs[CompressionTypes.Snappy] = codec((buffer) => snappy.compress(buffer));
CompressionCodecs[CompressionTypes.LZ4] = codec((buffer) => lz4.compressFrame(buffer));
CompressionCodecs[CompressionTypes.ZSTD] = codec(
  (buffer) => new Promise((resolve) => ZstdCodec.run((zstd) => resolve(new zstd.Simple().compress(buffer, 3)))),
);

const kafka = new Kafka({
  clientId: 'cases',
  brokers: BOOTSTRAP.split(','),
  logLevel: logLevel.WARN,
  retry: { retries: 20, initialRetryTime: 100, maxRetryTime: 2000 },
});
const admin = kafka.admin();
// It would go on asking the broker that died.
const eventually = (what, condition) =>
  eventuallyOf(what, condition, async () => {
    await admin.disconnect().catch(() => {});
    await admin.connect().catch(() => {});
  });

async function create(name) {
  const topic = topicName(name);
  await eventually(`${topic} is made`, async () => {
    await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: 3 }], waitForLeaders: true });
    return true;
  });
  return topic;
}

// Writes the records; for as long as brokers die, if they do. Gives how many.
async function produce(topic, { idempotent = FIRE_SECONDS > 0, acks = -1, compression = CompressionTypes.None } = {}) {
  const producer = kafka.producer({ idempotent, createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  try {
    return await rounds(async (numbers) => {
      const messages = numbers.map((i) => ({
        partition: i % PARTITIONS,
        key: key(i),
        value: value(topic, i),
        timestamp: String(timestamp(i)),
        headers: { n: String(i) },
      }));
      // While brokers die, one partition a request: kafkajs takes a broker that has answered for done with, and leaves out what a new
      // leader among those would have to be sent (`brokersWithoutResponse` in its sendMessages.js), yet reports success.
      const lots = FIRE_SECONDS > 0 ? [0, 1, 2].map((one) => messages.filter(({ partition }) => partition === one)) : [messages];
      for (const lot of lots) await producer.send({ topic, acks, compression, messages: lot });
    });
  } finally {
    await producer.disconnect();
  }
}

async function endOf(topic, partition) {
  return Number((await admin.fetchTopicOffsets(topic)).find((one) => one.partition === partition).offset);
}

// A member of a group, which reads and commits until it is stopped.
async function join(seat, groupId, topic, _, strategy) {
  const consumer = kafka.consumer({
    groupId, sessionTimeout: 10_000, heartbeatInterval: 500, rebalanceTimeout: 10_000, maxWaitTimeInMs: 100, metadataMaxAge: 1000,
    partitionAssigners: [PartitionAssigners.roundRobin],
  });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => seat.assigned(payload.memberAssignment[topic] ?? []));
  consumer.on(consumer.events.REBALANCING, () => seat.gone());
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch, resolveOffset, isRunning, isStale }) => {
      if (!isRunning() || isStale()) return;
      for (const message of batch.messages) {
        const found = [message.key.toString(), message.value.toString(), Number(message.timestamp), message.headers.n.toString()];
        seat.take(batch.partition, Number(message.offset), found);
        resolveOffset(message.offset);
      }
      const following = Number(batch.lastOffset()) + 1;
      if (!seat.holds(batch.partition, following)) return;
      try {
        await consumer.commitOffsets([{ topic, partition: batch.partition, offset: String(following) }]);
        seat.committed(batch.partition, following);
      } catch (error) {
        // The group is being rebalanced, or a broker has died: then nobody may rely on it.
        console.log(`${seat.name} has not committed: ${error}`);
      }
    },
  });
  return async () => {
    await consumer.stop();
    // Whoever leaves has nothing any more before its successor is told that it has it.
    seat.gone();
    await consumer.disconnect();
  };
}

async function transactor(transactionalId) {
  const producer = kafka.producer({
    transactionalId, idempotent: true, maxInFlightRequests: 1, transactionTimeout: 20_000, createPartitioner: Partitioners.DefaultPartitioner,
  });
  await producer.connect();
  let open;
  return {
    begin: async () => (open = await producer.transaction()),
    send: (topic, partition, texts) => open.send({ topic, acks: -1, messages: texts.map((text) => ({ partition, key: 'key', value: text })) }),
    offsets: (consumerGroupId, topic, places) => {
      const partitions = places.map((place, partition) => ({ partition, offset: String(place) }));
      return open.sendOffsets({ consumerGroupId, topics: [{ topic, partitions }] });
    },
    commit: () => open.commit(),
    abort: () => open.abort(),
    close: () => producer.disconnect(),
  };
}

const kit = {
  create,
  produce: (topic) => produce(topic, { idempotent: true }),
  join,
  transactor,
  strategies: ['eager'],
  hasOffsets: true,
  isFenced: true,
  committed: async (groupId, topic) => {
    const told = await admin.fetchOffsets({ groupId, topics: [topic] });
    return [0, 1, 2].map((partition) => Number(told[0].partitions.find((one) => one.partition === partition)?.offset ?? -1));
  },
};

async function roundTrip(name, how) {
  const topic = await create(name);
  await verify(topic, await produce(topic, how), endOf);
}

async function topics() {
  const topic = await create('created');
  equal('created twice', false, await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] }));
  const described = async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions;
  for (const partition of await described()) {
    equal('replicas', [1, 2, 3], [...partition.replicas].sort());
    equal('ISR', [1, 2, 3], [...partition.isr].sort());
  }
  await admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] });
  await eventually('five partitions', async () => (await described()).length === 5);
  await admin.deleteTopics({ topics: [topic] });
  await eventually('it is gone', async () => !(await admin.listTopics()).includes(topic));
}

async function configs() {
  const resource = { type: ConfigResourceTypes.TOPIC, name: await create('configured') };
  const configEntries = [{ name: 'retention.ms', value: '7200000' }];
  await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries }] });
  await eventually('retention.ms is 7200000', async () => {
    const described = await admin.describeConfigs({ resources: [{ ...resource, configNames: ['retention.ms'] }], includeSynonyms: false });
    return described.resources[0].configEntries[0].configValue === '7200000';
  });
}

async function offsets() {
  const topic = await create('offsets');
  await produce(topic);
  const ranges = (await admin.fetchTopicOffsets(topic)).sort((a, b) => a.partition - b.partition);
  const whole = ['0', String(RECORDS / PARTITIONS)];
  equal('low and high', [whole, whole, whole], ranges.map(({ low, high }) => [low, high]));
  const found = await admin.fetchTopicOffsetsByTimestamp(topic, timestamp(41));
  // One batch a partition, in which the first record not before record 41 is looked for.
  equal('offset for a time', '14', found.find(({ partition }) => partition === 1).offset);
}

async function main() {
  await admin.connect();
  const { None, GZIP, Snappy, LZ4, ZSTD } = CompressionTypes;
  for (const [name, compression] of Object.entries({ none: None, gzip: GZIP, snappy: Snappy, lz4: LZ4, zstd: ZSTD })) {
    await run(`produce.${name}`, () => roundTrip(`produce-${name}`, { compression }));
  }
  await run('idempotent', () => roundTrip('idempotent', { idempotent: true }));
  if (FIRE_SECONDS === 0) {
    for (const acks of [0, 1, -1]) {
      await run(`acks.${acks < 0 ? 'all' : acks}`, () => roundTrip(`acks-${acks}`, { acks }));
    }
    await run('topics', topics);
    await run('configs', configs);
    await run('offsets', offsets);
    await run('cluster', async () => {
      const { brokers } = await admin.describeCluster();
      equal('brokers', [1, 2, 3], brokers.map(({ nodeId }) => nodeId).sort());
    });
  }
  await groups(kit);
  await transactions(kit);
  await admin.disconnect();
  done();
}

main();
