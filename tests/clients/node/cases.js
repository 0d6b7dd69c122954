// Cases of kafkajs: produce and admin. Its consumer needs a group, so kcat reads what was written.
'use strict';

const { execFileSync } = require('node:child_process');
const { setTimeout: sleep } = require('node:timers/promises');
const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, Partitioners, logLevel } = require('kafkajs');
const lz4 = require('lz4-napi');
const snappy = require('snappyjs');
const { ZstdCodec } = require('zstd-codec');

const PARTITIONS = 3;
const TIMEOUT_MS = 60_000;
const { BOOTSTRAP, PREFIX } = process.env;
const EPOCH_MS = Number(process.env.EPOCH_MS);
const FIRE_SECONDS = Number(process.env.FIRE_SECONDS);
const RECORDS = Number(process.env.RECORDS);

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
let failed = false;

// Tells of a case on a line of its own; `done` at the end says that none is missing.
async function run(name, body) {
  const chosen = process.argv.slice(2);
  if (chosen.length > 0 && !chosen.some((prefix) => name.startsWith(prefix))) return;
  try {
    await body();
    console.log(`ok ${name}`);
  } catch (error) {
    failed = true;
    console.error(error);
    console.log(`not ok ${name}: ${String(error).replace(/\s+/g, ' ')}`);
  }
}

function equal(what, expected, found) {
  const [a, b] = [JSON.stringify(expected), JSON.stringify(found)];
  if (a !== b) throw new Error(`${what}: expected ${a}, found ${b}`);
}

async function eventually(what, condition) {
  const deadline = Date.now() + TIMEOUT_MS;
  let last = 'it is not so';
  const holds = async () => {
    try {
      return await condition();
    } catch (error) {
      // Whoever is asked while brokers die may fail to answer.
      if (FIRE_SECONDS === 0) throw error;
      last = error;
      // It would go on asking the broker that died.
      await admin.disconnect().catch(() => {});
      await admin.connect().catch(() => {});
      return false;
    }
  };
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not within ${TIMEOUT_MS} ms: ${what}: ${last}`);
    await sleep(20);
  }
}

const key = (i) => `key-${i % 10}`;
const value = (topic, i) => `${topic}/${i}/${'abcdefghij'.repeat(i % 20)}`;
const timestamp = (i) => EPOCH_MS + 10 * (i % 100_000);

async function create(name) {
  const topic = `${PREFIX}-${name}`;
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
  const deadline = Date.now() + FIRE_SECONDS * 1000;
  let count = 0;
  try {
    while (count < RECORDS || (FIRE_SECONDS > 0 && Date.now() < deadline)) {
      const messages = Array.from({ length: RECORDS }, (_, n) => count + n).map((i) => ({
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
      count += RECORDS;
    }
  } finally {
    await producer.disconnect();
  }
  return count;
}

function kcat(...words) {
  return execFileSync('kcat', ['-b', BOOTSTRAP, ...words], { encoding: 'utf8', timeout: TIMEOUT_MS, maxBuffer: 1 << 30 });
}

async function verify(topic, count) {
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const end = Math.floor((count - partition + PARTITIONS - 1) / PARTITIONS);
    let found;
    await eventually(`${end} records in partition ${partition}`, async () => {
      const offsets = await admin.fetchTopicOffsets(topic);
      found = Number(offsets.find((one) => one.partition === partition).offset);
      return found >= end;
    });
    equal(`end of partition ${partition}`, end, found);
    const lines = kcat('-C', '-t', topic, '-p', String(partition), '-o', 'beginning', '-e', '-q', '-J').trim().split('\n');
    equal(`how many are in partition ${partition}`, end, lines.length);
    lines.forEach((line, offset) => {
      const i = offset * PARTITIONS + partition;
      const found = JSON.parse(line);
      const told = [found.offset, found.key, found.payload, found.ts, found.headers];
      equal(`record ${i}`, [offset, key(i), value(topic, i), timestamp(i), ['n', String(i)]], told);
    });
  }
}

async function roundTrip(name, how) {
  const topic = await create(name);
  await verify(topic, await produce(topic, how));
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
  await admin.disconnect();
  console.log('done');
  // Emscripten's handlers would keep the process.
  process.exit(failed ? 1 : 0);
}

main();
