// Cases of groups and of transactions, the same for every client. A client comes as a kit: `create(name)`, `produce(topic)`,
// `committed(group, topic)`, `join(seat, group, topic, instance, strategy)`, which gives a function that stops the member, `strategies`,
// and `transactor(name)` with `begin()`, `send(topic, partition, values)`, `offsets(group, topic, places)` (if it `hasOffsets`), `commit()`, `abort()`, `close()`.
'use strict';

const { FIRE_SECONDS, PARTITIONS, TIMEOUT_MS, end, equal, eventually, read, run, sleep, timestamp, key, topicName, value } =
  require('./contract');

// What the members of a group own, have read and know to be committed. A member that gets a partition goes on no sooner than what was
// known to be committed by then, and then record by record.
class Ledger {
  constructor(topic) {
    this.topic = topic;
    this.reads = Array.from({ length: PARTITIONS }, () => new Map());
    this.committed = Array(PARTITIONS).fill(0);
    this.owned = new Map();
    this.assignments = new Map();
    this.wrong = null;
  }

  fail(text) {
    this.wrong ??= text;
  }

  read() {
    return this.reads.reduce((sum, one) => sum + one.size, 0);
  }

  repeated() {
    return this.reads.reduce((sum, one) => sum + [...one.values()].filter((times) => times > 1).length, 0);
  }

  owners() {
    return [...this.owned].map(([name, places]) => [name, [...places.keys()].sort()]).sort();
  }

  // Whether exactly these own every partition, each at least one.
  split(names) {
    const lists = names.map((name) => [...(this.owned.get(name) ?? new Map()).keys()]);
    return lists.every((one) => one.length > 0) && lists.flat().sort().join() === '0,1,2';
  }
}

// A member's place in its group.
class Seat {
  constructor(ledger, name) {
    Object.assign(this, { ledger, name });
  }

  // It has just these partitions from now on.
  assigned(partitions) {
    const { owned, committed, assignments } = this.ledger;
    assignments.set(this.name, (assignments.get(this.name) ?? 0) + 1);
    for (const partition of partitions) {
      for (const [other, places] of owned) {
        // One that was cut off may not know yet that it has lost it.
        if (other !== this.name && places.has(partition) && FIRE_SECONDS === 0) {
          this.ledger.fail(`${other} still owns ${partition}, which ${this.name} gets`);
        }
      }
    }
    owned.set(this.name, new Map(partitions.map((partition) => [partition, { floor: committed[partition], following: -1 }])));
  }

  gone() {
    this.ledger.owned.delete(this.name);
  }

  take(partition, offset, found) {
    const i = offset * PARTITIONS + partition;
    const expected = [key(i), value(this.ledger.topic, i), timestamp(i), String(i)];
    if (JSON.stringify(expected) !== JSON.stringify(found)) this.ledger.fail(`record ${i} is ${JSON.stringify(found)}`);
    const reads = this.ledger.reads[partition];
    reads.set(offset, (reads.get(offset) ?? 0) + 1);
    const place = this.ledger.owned.get(this.name)?.get(partition);
    if (!place) return;
    // What a client had at hand when it joined again may come before what it reads from where the group has committed.
    const starts = FIRE_SECONDS > 0 && offset === place.floor;
    if (place.following >= 0 && place.following !== offset && !starts) {
      this.ledger.fail(`${this.name} reads ${offset} of ${partition} next, not ${place.following}`);
    }
    if (offset < place.floor) this.ledger.fail(`${this.name} reads ${offset} of ${partition} again, ${place.floor} was committed`);
    place.following = offset + 1;
  }

  // Whether the member may commit this: it has the partition and has read so far since it got it.
  holds(partition, offset) {
    return this.ledger.owned.get(this.name)?.get(partition)?.following === offset;
  }

  committed(partition, offset) {
    this.ledger.committed[partition] = Math.max(offset, this.ledger.committed[partition]);
  }
}

class Group {
  constructor(kit, name, strategy) {
    Object.assign(this, { kit, strategy, name: topicName(name), members: new Map() });
  }

  async join(name, instance) {
    const seat = new Seat(this.ledger, name);
    this.members.set(name, await this.kit.join(seat, this.name, this.topic, instance, this.strategy));
  }

  async leave(name) {
    const stop = this.members.get(name);
    this.members.delete(name);
    await stop();
  }

  async until(what, holds) {
    const deadline = Date.now() + 2 * TIMEOUT_MS;
    while (!holds()) {
      if (this.ledger.wrong) throw new Error(this.ledger.wrong);
      if (Date.now() > deadline) {
        const owners = JSON.stringify(this.ledger.owners());
        throw new Error(`not within ${2 * TIMEOUT_MS} ms: ${what}; ${this.ledger.read()} read, owners ${owners}`);
      }
      await sleep(20);
    }
  }

  untilSplit(...names) {
    return this.until(`the partitions are split among ${names}`, () => this.ledger.split(names));
  }

  untilRead(count) {
    return this.until(`all of ${count} records are read`, () => this.ledger.read() === count);
  }

  async checkCommitted(count) {
    const expected = [0, 1, 2].map((partition) => end(count, partition));
    await eventually('all is committed', async () => {
      const found = await this.kit.committed(this.name, this.topic);
      return JSON.stringify(found) === JSON.stringify(expected);
    });
  }
}

async function inGroup(kit, name, strategy, body) {
  const group = new Group(kit, name, strategy);
  group.topic = await kit.create(name);
  group.ledger = new Ledger(group.topic);
  try {
    await body(group);
  } finally {
    for (const name of [...group.members.keys()]) await group.leave(name);
  }
  equal('what is wrong', null, group.ledger.wrong);
}

// A member reads some and leaves; the next one goes on where it was, and the third one has nothing to do.
async function join(group) {
  const count = await group.kit.produce(group.topic);
  await group.join('first');
  await group.until('a third is read', () => group.ledger.read() >= count / 3);
  await group.leave('first');
  await group.join('second');
  await group.untilRead(count);
  await group.leave('second');
  await group.checkCommitted(count);
  await group.join('third');
  await group.untilSplit('third');
  await group.leave('third');
  equal('how many were read twice', 0, group.ledger.repeated());
}

// Three members come and one leaves, while records are written: each partition has one owner, and nothing is left out.
async function rebalance(group) {
  await group.join('first');
  await group.untilSplit('first');
  const writing = group.kit.produce(group.topic);
  await group.join('second');
  await group.untilSplit('first', 'second');
  await group.join('third');
  await group.untilSplit('first', 'second', 'third');
  await group.leave('first');
  await group.untilSplit('second', 'third');
  const count = await writing;
  await group.untilRead(count);
  await group.checkCommitted(count);
}

// A static member that comes back within its session has its partitions again, and the other one notices nothing.
async function fixed(group) {
  await group.join('first', 'instance-1');
  await group.join('second', 'instance-2');
  await group.untilSplit('first', 'second');
  const count = await group.kit.produce(group.topic);
  await group.untilRead(count);
  const before = group.ledger.owners();
  const assignments = group.ledger.assignments.get('first');
  await group.leave('second');
  await group.join('second', 'instance-2');
  await group.untilSplit('first', 'second');
  equal('who owns what', before, group.ledger.owners());
  equal('how often the other one was assigned partitions', assignments, group.ledger.assignments.get('first'));
  equal('how many were read twice', 0, group.ledger.repeated());
  await group.checkCommitted(count);
}

// Members come and go while brokers die and records are written.
async function comeAndGo(group) {
  let count = null;
  const writing = group.kit.produce(group.topic).then((written) => (count = written));
  writing.catch(() => {});
  await group.join('member-0');
  for (let joined = 0; count === null; joined++) {
    await group.join(`member-${joined + 1}`);
    await Promise.race([writing, sleep(3000)]);
    await group.leave(`member-${joined}`);
  }
  await group.untilRead(count);
  await group.checkCommitted(count);
  console.log(`${count} records, ${group.ledger.repeated()} of them read again`);
}

async function groups(kit) {
  for (const strategy of kit.strategies) {
    const body = FIRE_SECONDS > 0 ? comeAndGo : rebalance;
    await run(`group.${strategy}`, () => inGroup(kit, `group-${strategy}`, strategy, body));
  }
  if (FIRE_SECONDS > 0) return;
  await run('group.join', () => inGroup(kit, 'group-join', kit.strategies[0], join));
  if (kit.isStatic) await run('group.static', () => inGroup(kit, 'group-static', kit.strategies[0], fixed));
}

const values = async (topic, partition, isolation) => (await read(topic, partition, isolation)).map(({ payload }) => payload);

// Of four transactions two are given up: their records are there for who reads everything only.
async function abort(kit) {
  const topic = await kit.create('aborted');
  const transactor = await kit.transactor(topicName('aborter'));
  for (const text of ['a', 'b', 'c', 'd']) {
    await transactor.begin();
    await transactor.send(topic, 0, [text]);
    await (text === 'b' || text === 'd' ? transactor.abort() : transactor.commit());
  }
  await transactor.close();
  equal('committed records', ['a', 'c'], await values(topic, 0, 'read_committed'));
  equal('all records', ['a', 'b', 'c', 'd'], await values(topic, 0));
}

// A producer that was replaced by another of its name cannot commit.
async function fenced(kit) {
  const topic = await kit.create('fenced');
  const transactors = [];
  for (const text of ['zombie', 'next']) {
    const transactor = await kit.transactor(topicName('fenced'));
    await transactor.begin();
    await transactor.send(topic, 1, [text]);
    transactors.push(transactor);
  }
  const error = await transactors[0].commit().then(() => null, (told) => told);
  if (!error) throw new Error('a producer that was replaced has committed');
  await transactors[1].commit();
  for (const transactor of transactors) await transactor.close();
  equal('committed records', ['next'], await values(topic, 1, 'read_committed'));
}

// Writes a topic's records to another one together with the place in the first, in transactions; each fifth is given up on purpose.
async function copy(kit) {
  const [from, to, group] = [await kit.create('copied-from'), await kit.create('copied-to'), topicName('copier')];
  const count = await kit.produce(from);
  const goal = [0, 1, 2].map((partition) => end(count, partition));
  const lot = FIRE_SECONDS > 0 ? 150 : 5;
  const deadline = Date.now() + 2 * TIMEOUT_MS + FIRE_SECONDS * 5000;
  let places = [0, 0, 0];
  let transactor = await kit.transactor(topicName('copier'));
  for (let turn = 1; JSON.stringify(places) !== JSON.stringify(goal); turn++) {
    if (Date.now() > deadline) throw new Error(`copied to ${places} of ${goal}`);
    const after = places.map((place, partition) => Math.min(goal[partition], place + lot));
    try {
      await transactor.begin();
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const offsets = Array.from({ length: after[partition] - places[partition] }, (_, n) => places[partition] + n);
        if (offsets.length > 0) await transactor.send(to, partition, offsets.map((offset) => value(from, offset * PARTITIONS + partition)));
      }
      await transactor.offsets(group, from, after);
      if (turn % 5 === 0) await transactor.abort();
      else {
        await transactor.commit();
        places = after;
      }
    } catch (error) {
      if (FIRE_SECONDS === 0) throw error;
      // What a program does that does not want to tell errors apart: another producer ends what is open.
      console.log(`copy: again after ${error}`);
      await transactor.close().catch(() => {});
      await eventually('another producer', async () => (transactor = await kit.transactor(topicName('copier'))));
      await eventually('the place', async () => (places = (await kit.committed(group, from)).map((place) => Math.max(0, place))));
    }
  }
  await transactor.close();
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const expected = Array.from({ length: goal[partition] }, (_, offset) => value(from, offset * PARTITIONS + partition));
    const found = await values(to, partition, 'read_committed');
    equal(`how many copies are in partition ${partition}`, expected.length, found.length);
    expected.forEach((text, n) => equal(`copy ${n} in partition ${partition}`, text, found[n]));
  }
}

async function transactions(kit) {
  if (kit.hasOffsets) await run('transactions.copy', () => copy(kit));
  if (FIRE_SECONDS > 0) return;
  await run('transactions.abort', () => abort(kit));
  if (kit.isFenced) await run('transactions.fenced', () => fenced(kit));
}

module.exports = { groups, transactions };
