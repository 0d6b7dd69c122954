// What every client writes and every reader expects, and how a case's verdict is told. Record i goes to partition i mod 3 and is the
// (i / 3)-th there, so that an offset tells which record it has to be.
'use strict';

const { execFile } = require('node:child_process');
const { setTimeout: sleep } = require('node:timers/promises');
const { promisify } = require('node:util');

const PARTITIONS = 3;
const TIMEOUT_MS = 60_000;
// The shortest time that a lot of records takes under fire, so that a fast client does not write more than its readers get through.
const LOT_MS = 20;
const { BOOTSTRAP, PREFIX } = process.env;
const EPOCH_MS = Number(process.env.EPOCH_MS);
const FIRE_SECONDS = Number(process.env.FIRE_SECONDS);
const RECORDS = Number(process.env.RECORDS);
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

function done() {
  console.log('done');
  // Handlers and connections of the clients would keep the process.
  process.exit(failed ? 1 : 0);
}

function equal(what, expected, found) {
  const [a, b] = [JSON.stringify(expected), JSON.stringify(found)];
  if (a !== b) throw new Error(`${what}: expected ${a}, found ${b}`);
}

// Asks again and again until it is so; whoever is asked while brokers die may fail to answer, and is seen to by `after`.
async function eventually(what, condition, after = async () => {}) {
  const deadline = Date.now() + TIMEOUT_MS;
  let last = 'it is not so';
  const holds = async () => {
    try {
      return await condition();
    } catch (error) {
      if (FIRE_SECONDS === 0) throw error;
      last = error;
      await after();
      return false;
    }
  };
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not within ${TIMEOUT_MS} ms: ${what}: ${last}`);
    await sleep(20);
  }
}

const topicName = (name) => `${PREFIX}-${name}`;
const key = (i) => `key-${i % 10}`;
const value = (topic, i) => `${topic}/${i}/${'abcdefghij'.repeat(i % 20)}`;
const timestamp = (i) => EPOCH_MS + 10 * i;
const end = (count, partition) => Math.floor((count - partition + PARTITIONS - 1) / PARTITIONS);

// Calls `write` with the numbers of records that have to be acknowledged before the next: once, or for as long as brokers die.
async function rounds(write) {
  const deadline = Date.now() + FIRE_SECONDS * 1000;
  let count = 0;
  while (count < RECORDS || (FIRE_SECONDS > 0 && Date.now() < deadline)) {
    const begun = Date.now();
    await write(Array.from({ length: RECORDS }, (_, n) => count + n));
    count += RECORDS;
    if (FIRE_SECONDS > 0) await sleep(Math.max(0, begun + LOT_MS - Date.now()));
  }
  return count;
}

// Not synchronous: the client's own heartbeats go on meanwhile.
async function kcat(...words) {
  const { stdout } = await promisify(execFile)('kcat', ['-b', BOOTSTRAP, ...words], { timeout: TIMEOUT_MS, maxBuffer: 1 << 30 });
  return stdout;
}

// Every record of a partition, as kcat tells it.
async function read(topic, partition, isolation = 'read_uncommitted') {
  const words = ['-C', '-t', topic, '-p', String(partition), '-o', 'beginning', '-e', '-q', '-J', '-X', `isolation.level=${isolation}`];
  return (await kcat(...words)).split('\n').filter((line) => line).map((line) => JSON.parse(line));
}

// Compares a topic with what was written, once `end of a partition` tells that all is there.
async function verify(topic, count, endOf) {
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const expected = end(count, partition);
    let found;
    await eventually(`${expected} records in partition ${partition}`, async () => {
      found = await endOf(topic, partition);
      return found >= expected;
    });
    equal(`end of partition ${partition}`, expected, found);
    const records = await read(topic, partition);
    equal(`how many are in partition ${partition}`, expected, records.length);
    records.forEach((record, offset) => {
      const i = offset * PARTITIONS + partition;
      const told = [record.offset, record.key, record.payload, record.ts, record.headers];
      equal(`record ${i}`, [offset, key(i), value(topic, i), timestamp(i), ['n', String(i)]], told);
    });
  }
}

module.exports = {
  BOOTSTRAP, FIRE_SECONDS, PARTITIONS, RECORDS, TIMEOUT_MS, done, end, equal, eventually, kcat, key, read, rounds, run, sleep, timestamp,
  topicName, value, verify,
};
