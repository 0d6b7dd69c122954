import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidRegularExpression;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Groups of the Java consumer, in both protocols: join, resume, rebalance, static members, and members that come and go while
 * brokers die.
 */
final class GroupCases {
    private static final long PATIENCE_MS = 120_000;
    private static final long COMMIT_MS = 20;
    /** KIP-848: the coordinator assigns. */
    private static final Map<String, Object> MODERN = Map.of("group.protocol", "consumer");
    private static final Map<String, Map<String, Object>> STRATEGIES = new TreeMap<>(Map.of(
            "consumer", MODERN,
            "eager", Map.of("partition.assignment.strategy", RangeAssignor.class.getName()),
            "cooperative", Map.of("partition.assignment.strategy", CooperativeStickyAssignor.class.getName())));

    private final Admin admin;
    private final Report report;
    private final TransactionCases.Topics topics;

    GroupCases(Admin admin, Report report, TransactionCases.Topics topics) {
        this.admin = admin;
        this.report = report;
        this.topics = topics;
    }

    void run() {
        STRATEGIES.forEach((name, configuration) -> report.run("group." + name, () -> {
            if (Contract.underFire()) {
                comeAndGo(name, configuration);
            } else {
                rebalance(name, configuration);
            }
        }));
        if (!Contract.underFire()) {
            report.run("group.join", this::join);
            report.run("group.static", () -> fixed("group-static", STRATEGIES.get("eager")));
            report.run("group.consumer-static", () -> fixed("group-consumer-static", MODERN));
            report.run("group.consumer-regex", this::expression);
            report.run("group.consumer-upgrade", this::upgrade);
            report.run("group.admin", this::administer);
            report.run("group.consumer-admin", this::administerConsumers);
        }
    }

    /** The members of a group and their ledger; whoever is left is stopped at the end. */
    private final class Group implements AutoCloseable {
        final String name;
        final String topic;
        final Ledger ledger;
        private final Map<String, Object> configuration;
        private final Map<String, Member> members = new TreeMap<>();

        Group(String name, Map<String, Object> configuration) throws Exception {
            this.name = Contract.topic(name);
            this.configuration = configuration;
            topic = topics.create(name);
            ledger = new Ledger(topic);
        }

        void join(String member, Map<String, Object> more) {
            Map<String, Object> all = new HashMap<>(configuration);
            all.putAll(more);
            members.put(member, new Member(member, this, all));
        }

        void join(String member) {
            join(member, Map.of());
        }

        void leave(String member) {
            members.remove(member).end();
        }

        void until(String what, BooleanSupplier holds) throws Exception {
            long deadline = System.currentTimeMillis() + PATIENCE_MS;
            while (!holds.getAsBoolean()) {
                for (Member member : members.values()) {
                    member.check();
                }
                Report.check(System.currentTimeMillis() < deadline, "not in time: " + what + "; owners " + ledger.owners());
                Thread.sleep(20);
            }
        }

        void untilSplit(String... members) throws Exception {
            until("the partitions are split among " + List.of(members), () -> ledger.split(members));
        }

        void untilRead(long count) throws Exception {
            until("all of " + count + " records are read", () -> ledger.read() == count);
        }

        void checkCommitted(long count) throws Exception {
            Map<TopicPartition, Long> expected = new HashMap<>();
            for (int partition = 0; partition < Contract.PARTITIONS; partition++) {
                expected.put(new TopicPartition(topic, partition), Contract.end(count, partition));
            }
            Report.eventually("all is committed", () -> {
                var found = new HashMap<TopicPartition, Long>();
                committed(name).forEach((partition, offset) -> found.put(partition, offset.offset()));
                return expected.equals(found);
            });
        }

        @Override
        public void close() {
            for (String member : List.copyOf(members.keySet())) {
                leave(member);
            }
            Report.equal(null, ledger.wrong(), "what is wrong with owners");
        }
    }

    /** A consumer in its own thread: reads, commits what it has read, and goes on until it is told to stop. */
    private static final class Member extends Thread implements ConsumerRebalanceListener {
        private final Group group;
        private final Map<String, Object> configuration = new HashMap<>(Map.of(
                "bootstrap.servers", Contract.BOOTSTRAP, "enable.auto.commit", false, "auto.offset.reset", "earliest",
                "session.timeout.ms", 10_000, "heartbeat.interval.ms", 500, "max.poll.records", 20));
        private volatile boolean stopping;
        private volatile Throwable wrong;
        private Map<Integer, Long> last = Map.of();
        private long commitAt;

        Member(String name, Group group, Map<String, Object> more) {
            super(name);
            this.group = group;
            configuration.put("group.id", group.name);
            configuration.putAll(more);
            if (configuration.containsKey("group.protocol")) {
                // The coordinator says how often and how long.
                configuration.keySet().removeAll(List.of("session.timeout.ms", "heartbeat.interval.ms"));
            }
            setDaemon(true);
            start();
        }

        @Override
        public void run() {
            try (var consumer = new KafkaConsumer<>(configuration, new StringDeserializer(), new StringDeserializer())) {
                try {
                    consumer.subscribe(List.of(group.topic), this);
                    while (!stopping) {
                        turn(consumer);
                    }
                    commit(consumer);
                } finally {
                    // Whoever leaves has nothing any more before its successor is told that it has it.
                    group.ledger.gone(getName());
                }
            } catch (Throwable error) {
                error.printStackTrace();
                wrong = error;
            }
        }

        private void turn(KafkaConsumer<String, String> consumer) {
            var records = consumer.poll(Duration.ofMillis(100));
            records.forEach(record -> group.ledger.take(getName(), record));
            if (records.isEmpty() || System.currentTimeMillis() >= commitAt) {
                commit(consumer);
            }
        }

        private void commit(KafkaConsumer<String, String> consumer) {
            commitAt = System.currentTimeMillis() + COMMIT_MS;
            var offsets = group.ledger.positions(getName());
            if (offsets.equals(last)) {
                return;
            }
            var places = new HashMap<TopicPartition, OffsetAndMetadata>();
            offsets.forEach((partition, offset) ->
                    places.put(new TopicPartition(group.topic, partition), new OffsetAndMetadata(offset)));
            try {
                consumer.commitSync(places, Duration.ofSeconds(20));
                last = offsets;
                group.ledger.acknowledged(offsets);
            } catch (KafkaException error) {
                // The group is being rebalanced, or a broker has died: then nobody may rely on it.
                System.err.println(getName() + " has not committed: " + error);
            }
        }

        void check() {
            if (wrong != null) {
                throw new AssertionError(getName() + ": " + wrong, wrong);
            }
        }

        void end() {
            stopping = true;
            try {
                join(PATIENCE_MS);
            } catch (InterruptedException error) {
                throw new AssertionError(error);
            }
            Report.check(!isAlive(), getName() + " does not stop");
            check();
        }

        private static List<Integer> numbers(Collection<TopicPartition> partitions) {
            return partitions.stream().map(TopicPartition::partition).toList();
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            group.ledger.assigned(getName(), numbers(partitions));
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            group.ledger.revoked(getName(), numbers(partitions));
        }
    }

    /** A member reads some and leaves; the next one goes on where it was, and the third one has nothing to do. */
    private void join() throws Exception {
        try (var group = new Group("group-join", STRATEGIES.get("eager"))) {
            long count = Contract.produce(group.topic, Map.of());
            group.join("first");
            group.until("a third is read", () -> group.ledger.read() >= count / 3);
            group.leave("first");
            group.join("second");
            group.untilRead(count);
            group.leave("second");
            group.checkCommitted(count);
            group.join("third");
            group.untilSplit("third");
            group.leave("third");
            Report.equal(0L, group.ledger.repeated(), "how many were read twice");
        }
    }

    /** Three members come and one leaves, while records are written: each partition has one owner, and nothing is left out. */
    private void rebalance(String name, Map<String, Object> configuration) throws Exception {
        try (var group = new Group("group-" + name, configuration)) {
            group.join("first");
            group.untilSplit("first");
            var count = write(group.topic);
            group.join("second");
            group.untilSplit("first", "second");
            group.join("third");
            group.untilSplit("first", "second", "third");
            group.leave("first");
            group.untilSplit("second", "third");
            group.untilRead(count.get());
            group.checkCommitted(count.get());
        }
    }

    /** A static member that comes back within its session has its partitions again, and the other one notices nothing. */
    private void fixed(String name, Map<String, Object> configuration) throws Exception {
        try (var group = new Group(name, configuration)) {
            group.join("first", Map.of("group.instance.id", "instance-1"));
            group.join("second", Map.of("group.instance.id", "instance-2"));
            group.untilSplit("first", "second");
            long count = Contract.produce(group.topic, Map.of());
            group.untilRead(count);
            var before = group.ledger.owners();
            int assignments = group.ledger.assignments("first");
            group.leave("second");
            group.join("second", Map.of("group.instance.id", "instance-2"));
            group.untilSplit("first", "second");
            Report.equal(before, group.ledger.owners(), "who owns what");
            Report.equal(assignments, group.ledger.assignments("first"), "how often the other one was assigned partitions");
            Report.equal(0L, group.ledger.repeated(), "how many were read twice");
            group.checkCommitted(count);
        }
    }

    /** Members come and go while brokers die and records are written. */
    private void comeAndGo(String name, Map<String, Object> configuration) throws Exception {
        try (var group = new Group("group-fire-" + name, configuration)) {
            var count = write(group.topic);
            int joined = 0;
            for (group.join("member-0"); !count.isDone(); joined++) {
                group.join("member-" + (joined + 1));
                Thread.sleep(3_000);
                group.leave("member-" + joined);
            }
            group.untilRead(count.get());
            group.checkCommitted(count.get());
            System.err.println(count.get() + " records, " + group.ledger.repeated() + " of them read again, " + joined + " left");
        }
    }

    private void administer() throws Exception {
        try (var group = new Group("group-admin", STRATEGIES.get("cooperative"))) {
            group.join("only");
            group.untilSplit("only");
            var described = admin.describeConsumerGroups(List.of(group.name)).all().get().get(group.name);
            Report.equal(GroupState.STABLE, described.groupState(), "state");
            Report.equal("cooperative-sticky", described.partitionAssignor(), "assignor");
            Report.equal(3, described.members().iterator().next().assignment().topicPartitions().size(), "assigned partitions");
            long count = Contract.produce(group.topic, Map.of());
            group.untilRead(count);
            group.leave("only");
            var partition = new TopicPartition(group.topic, 1);
            admin.alterConsumerGroupOffsets(group.name, Map.of(partition, new OffsetAndMetadata(7, "seven"))).all().get();
            Report.equal(new OffsetAndMetadata(7, "seven"), committed(group.name).get(partition), "what was set");
            admin.deleteConsumerGroupOffsets(group.name, java.util.Set.of(partition)).all().get();
            Report.equal(null, committed(group.name).get(partition), "what was deleted");
            var listed = admin.listGroups(ListGroupsOptions.forConsumerGroups()).all().get().stream()
                    .filter(one -> one.groupId().equals(group.name)).map(one -> one.groupState().orElseThrow()).toList();
            Report.equal(List.of(GroupState.EMPTY), listed, "listed");
            admin.deleteConsumerGroups(List.of(group.name)).all().get();
            Report.check(admin.listGroups().all().get().stream().noneMatch(one -> one.groupId().equals(group.name)), "it is gone");
        }
    }

    /** Members of the classic protocol are replaced by members of the other one while they read, and these by classic ones. */
    private void upgrade() throws Exception {
        var classic = STRATEGIES.get("cooperative");
        try (var group = new Group("group-upgrade", Map.of())) {
            group.join("old-1", classic);
            group.join("old-2", classic);
            group.untilSplit("old-1", "old-2");
            var count = write(group.topic);
            group.join("new-1", MODERN);
            group.untilSplit("old-1", "old-2", "new-1");
            Report.equal(GroupType.CONSUMER, described(group.name).type(), "type after the first new member");
            group.leave("old-1");
            group.untilSplit("old-2", "new-1");
            group.leave("old-2");
            group.untilSplit("new-1");
            group.join("old-3", classic);
            group.untilSplit("new-1", "old-3");
            group.leave("new-1");
            group.untilSplit("old-3");
            Report.equal(GroupType.CLASSIC, described(group.name).type(), "type after the last new member");
            group.untilRead(count.get());
            group.checkCommitted(count.get());
        }
    }

    /** Topics by a regular expression that the coordinator resolves, also one that comes later. */
    private void expression() throws Exception {
        String first = topics.create("matched-a");
        var configuration = new HashMap<String, Object>(MODERN);
        configuration.putAll(Map.of("bootstrap.servers", Contract.BOOTSTRAP, "group.id", Contract.topic("group-regex"),
                "metadata.max.age.ms", 1_000));
        try (var consumer = new KafkaConsumer<>(configuration, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(new SubscriptionPattern(Contract.topic("matched-.*")));
            Report.eventually("the first topic", () -> topicsOf(consumer).equals(Set.of(first)));
            String second = topics.create("matched-b");
            topics.create("unmatched");
            Report.eventually("both topics", () -> topicsOf(consumer).equals(Set.of(first, second)));
        }
        try (var consumer = new KafkaConsumer<>(configuration, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(new SubscriptionPattern("("));
            Report.eventually("what is no expression is refused", () -> {
                try {
                    consumer.poll(Duration.ofMillis(100));
                    return false;
                } catch (InvalidRegularExpression error) {
                    return true;
                }
            });
        }
    }

    private static Set<String> topicsOf(KafkaConsumer<String, String> consumer) {
        consumer.poll(Duration.ofMillis(100));
        return consumer.assignment().stream().map(TopicPartition::topic).collect(Collectors.toSet());
    }

    private void administerConsumers() throws Exception {
        try (var group = new Group("group-consumer-admin", MODERN)) {
            group.join("first");
            group.join("second");
            group.untilSplit("first", "second");
            Report.eventually("it is stable", () -> described(group.name).groupState() == GroupState.STABLE);
            var found = described(group.name);
            Report.equal(GroupType.CONSUMER, found.type(), "type");
            Report.equal("uniform", found.partitionAssignor(), "assignor");
            Report.equal(found.groupEpoch(), found.targetAssignmentEpoch(), "epoch of the targets");
            for (var member : found.members()) {
                Report.equal(found.groupEpoch(), member.memberEpoch(), "epoch of a member");
                Report.equal(Optional.of(member.assignment()), member.targetAssignment(), "target of a member");
            }
            var listed = admin.listGroups(new ListGroupsOptions().withTypes(Set.of(GroupType.CONSUMER))).all().get();
            Report.check(listed.stream().anyMatch(one -> one.groupId().equals(group.name)), "it is listed as a consumer group");
            Report.check(fails(admin.deleteConsumerGroups(List.of(group.name)).all()) instanceof GroupNotEmptyException,
                    "a group with members cannot be deleted");
            group.leave("first");
            group.leave("second");
            Report.eventually("it is empty", () -> described(group.name).groupState() == GroupState.EMPTY);
            admin.deleteConsumerGroups(List.of(group.name)).all().get();
        }
    }

    private static Throwable fails(KafkaFuture<?> future) throws InterruptedException {
        try {
            future.get();
            return null;
        } catch (ExecutionException error) {
            return error.getCause();
        }
    }

    private ConsumerGroupDescription described(String group) throws Exception {
        return admin.describeConsumerGroups(List.of(group)).all().get().get(group);
    }

    private Map<TopicPartition, OffsetAndMetadata> committed(String group) throws Exception {
        return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
    }

    /** Writes the records meanwhile. */
    private static CompletableFuture<Long> write(String topic) {
        return CompletableFuture.supplyAsync(() -> {
            try {
                return Contract.produce(topic, Map.of());
            } catch (Exception error) {
                throw new AssertionError("write: " + error, error);
            }
        });
    }
}
