// Cases of @platformatic/kafka: produce, consume by offsets, groups, transactions, admin.
'use strict';

const path = require('node:path');
const { pathToFileURL } = require('node:url');
const zlib = require('node:zlib');
const {
  BOOTSTRAP, FIRE_SECONDS, PARTITIONS, TIMEOUT_MS, done, end, equal, eventually, key, rounds, run, timestamp, topicName, value, verify,
} = require('./contract');
const { groups, transactions } = require('./groups');

// The client is for Node 22; this is what it misses in the Node 20 of distributions.
Promise.withResolvers ??= function withResolvers() {
  const made = {};
  made.promise = new this((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};

const SERVERS = { bootstrapBrokers: BOOTSTRAP.split(','), retries: FIRE_SECONDS > 0 ? 100 : 20, retryDelay: 100, timeout: 10_000 };
let kafka;
let admin;

const serializers = () => kafka.stringSerializers;
const deserializers = () => kafka.stringDeserializers;

async function create(name) {
  const topic = topicName(name);
  await eventually(`${topic} is made`, async () => {
    try {
      await admin.createTopics({ topics: [topic], partitions: PARTITIONS, replicas: 3 });
    } catch (error) {
      // The client asks again when a broker dies before it has answered.
      if (!(FIRE_SECONDS > 0 && JSON.stringify(error.response ?? String(error)).match(/exists/i))) throw error;
    }
    return true;
  });
  await eventually('it has leaders', async () => {
    const { topics } = await admin.metadata({ topics: [topic], forceUpdate: true });
    const partitions = topics.get(topic)?.partitions ?? [];
    return partitions.length === PARTITIONS && partitions.every(({ leader }) => leader > 0);
  });
  return topic;
}

function makeProducer(more = {}) {
  return new kafka.Producer({ ...SERVERS, clientId: 'cases', serializers: serializers(), idempotent: true, acks: -1, ...more });
}

async function produce(topic, more) {
  const producer = makeProducer(more);
  try {
    return await rounds(async (numbers) => {
      const messages = numbers.map((i) => ({
        topic, partition: i % PARTITIONS, key: key(i), value: value(topic, i), timestamp: BigInt(timestamp(i)), headers: { n: String(i) },
      }));
      await send(producer, messages);
    });
  } finally {
    await producer.close(true);
  }
}

// Under fire the client asks for metadata once when a broker no longer leads; if the leader changes again before that is answered, it asks
// the same broker until it gives up. Nothing was written then.
async function send(producer, messages) {
  if (FIRE_SECONDS === 0) return producer.send({ messages });
  const partitions = [...new Set(messages.map(({ partition }) => partition))];
  return Promise.all(partitions.map((one) => persist(producer, messages.filter(({ partition }) => partition === one))));
}

async function persist(producer, messages) {
  const hasMoved = (error) => (error.errors ? error.errors.every(hasMoved) : error.hasStaleMetadata === true);
  for (;;) {
    try {
      return await producer.send({ messages });
    } catch (error) {
      if (!hasMoved(error)) throw error;
      producer.clearMetadata();
    }
  }
}

const heading = (message) => [...message.headers].map(([name, text]) => `${name}=${text}`).join();

function consumer(groupId, more = {}) {
  return new kafka.Consumer({
    ...SERVERS, clientId: 'cases', groupId, deserializers: deserializers(), autocommit: false, maxWaitTime: 100, sessionTimeout: 10_000,
    heartbeatInterval: 500, rebalanceTimeout: 10_000, ...more,
  });
}

// What the last record's offset is followed by, as the client itself says.
async function endOf(topic, partition) {
  const asker = consumer(topicName('asker'));
  try {
    return Number((await asker.listOffsets({ topics: [topic] })).get(topic)[partition]);
  } finally {
    await asker.close(true);
  }
}

async function roundTrip(name, more) {
  const topic = await create(name);
  const count = await produce(topic, more);
  await verify(topic, count, endOf);
  await consume(topic, count, [0, 0, 0]);
}

// Reads from offsets to the end and checks each record.
async function consume(topic, count, first) {
  const reader = consumer(`${topic}-readers`);
  const offsets = first.map((offset, partition) => ({ topic, partition, offset: BigInt(offset) }));
  const stream = await reader.consume({ topics: [topic], mode: 'manual', offsets });
  const next = [...first];
  const late = setTimeout(() => stream.destroy(new Error(`still at ${next} of ${count} records`)), TIMEOUT_MS);
  try {
    for await (const message of stream) {
      const i = Number(message.offset) * PARTITIONS + message.partition;
      equal('offset', next[message.partition]++, Number(message.offset));
      const found = [message.key, message.value, Number(message.timestamp), heading(message)];
      equal(`record ${i}`, [key(i), value(topic, i), timestamp(i), `n=${i}`], found);
      if (next.every((offset, partition) => offset >= end(count, partition))) break;
    }
  } finally {
    clearTimeout(late);
    await reader.close(true);
  }
}

// A member of a group, which reads and commits until it is stopped.
async function join(seat, groupId, topic, groupInstanceId) {
  const member = consumer(groupId, groupInstanceId ? { groupInstanceId } : {});
  const numbers = (assignments) => (assignments ?? []).filter((one) => one.topic === topic).flatMap((one) => one.partitions);
  member.on('consumer:group:join', ({ assignments }) => seat.assigned(numbers(assignments ?? member.assignments)));
  member.on('consumer:group:rebalance', () => seat.gone());
  member.on('error', (error) => console.log(`${seat.name}: ${error}`));
  const stream = await member.consume({ topics: [topic], mode: 'committed', fallbackMode: 'earliest' });
  let stopping = false;
  const reading = (async () => {
    for await (const message of stream) {
      const { partition } = message;
      const offset = Number(message.offset);
      seat.take(partition, offset, [message.key, message.value, Number(message.timestamp), heading(message).slice(2)]);
      // One by one would take longer than to write them, so that it commits when nothing more is at hand.
      if (stream.readableLength > 0 || !seat.holds(partition, offset + 1)) continue;
      await commit(member, seat, topic);
    }
  })().catch((error) => {
    if (!stopping && FIRE_SECONDS === 0) seat.ledger.fail(`${seat.name}: ${error}`);
    console.log(`${seat.name} has stopped: ${error}`);
  });
  return async () => {
    stopping = true;
    await commit(member, seat, topic);
    // Whoever leaves has nothing any more before its successor is told that it has it.
    seat.gone();
    await member.close(true);
    await reading;
  };
}

async function commit(member, seat, topic) {
  const places = [...(seat.ledger.owned.get(seat.name) ?? [])].filter(([, place]) => place.following >= 0);
  const offsets = places.map(([partition, { following }]) => ({ topic, partition, offset: BigInt(following), leaderEpoch: -1 }));
  if (offsets.length === 0) return;
  try {
    await member.commit({ offsets });
    for (const { partition, offset } of offsets) seat.committed(partition, Number(offset));
  } catch (error) {
    // The group is being rebalanced, or a broker has died: then nobody may rely on it.
    console.log(`${seat.name} has not committed: ${error}`);
  }
}

async function topics() {
  const topic = await create('created');
  const { topics } = await admin.metadata({ topics: [topic], forceUpdate: true });
  for (const partition of topics.get(topic).partitions) {
    equal('replicas', [1, 2, 3], [...partition.replicas].sort());
  }
  const again = await admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 }).then(() => null, (error) => error);
  if (!again) throw new Error('created twice');
  await admin.createPartitions({ topics: [{ name: topic, count: 5 }], validateOnly: false });
  await eventually('five partitions', async () => {
    const told = await admin.metadata({ topics: [topic], forceUpdate: true });
    return told.topics.get(topic)?.partitions.length === 5;
  });
  await admin.deleteTopics({ topics: [topic] });
  await eventually('it is gone', async () => !(await admin.listTopics()).includes(topic));
}

async function transactor(transactionalId) {
  const producer = makeProducer({ transactionalId });
  let open;
  return {
    begin: async () => (open = await producer.beginTransaction()),
    send: (topic, partition, texts) => open.send({ messages: texts.map((text) => ({ topic, partition, key: 'key', value: text })) }),
    commit: () => open.commit(),
    abort: () => open.abort(),
    close: () => producer.close(true),
  };
}

// A member that closes leaves its group, static or not; its readers of committed records are given aborted ones too, so that kcat reads; and
// a producer whose name was used before asks as the producer 0, which is not the one to replace.
const kit = {
  create,
  produce: (topic) => produce(topic),
  join,
  strategies: ['eager'],
  transactor,
  committed: async (group, topic) => {
    const told = await admin.listConsumerGroupOffsets({ groups: [group] });
    const partitions = told[0]?.topics.find(({ name }) => name === topic)?.partitions ?? [];
    return [0, 1, 2].map((partition) => Number(partitions.find((one) => one.partitionIndex === partition)?.committedOffset ?? -1));
  },
};

async function main() {
  // NODE_PATH is for `require` alone, and the package is a module.
  kafka = await import(pathToFileURL(path.join(process.env.NODE_PATH, '@platformatic/kafka/dist/index.js')));
  admin = new kafka.Admin({ ...SERVERS, clientId: 'cases' });
  // It takes zstd from Node, which has it since 22.15.
  for (const compression of ['none', 'gzip', 'snappy', 'lz4', ...('zstdCompressSync' in zlib ? ['zstd'] : [])]) {
    await run(`produce.${compression}`, () => roundTrip(`produce-${compression}`, { compression }));
  }
  if (FIRE_SECONDS === 0) {
    for (const acks of [0, 1, -1]) {
      await run(`acks.${acks < 0 ? 'all' : acks}`, () => roundTrip(`acks-${acks}`, { acks, idempotent: false }));
    }
    await run('consume.offset', async () => {
      const topic = await create('offset');
      await consume(topic, await produce(topic), [7, 29, 0]);
    });
    await run('topics', topics);
  }
  await groups(kit);
  await transactions(kit);
  await admin.close();
  done();
}

main();
