import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The Java client's transactions: what one copies is there once for who reads committed records, offsets included. */
final class TransactionCases {
    private static final long PATIENCE_MS = 120_000;

    private final Admin admin;
    private final Report report;
    private final Topics topics;

    /** Makes a topic of three partitions. */
    interface Topics {
        String create(String name) throws Exception;
    }

    TransactionCases(Admin admin, Report report, Topics topics) {
        this.admin = admin;
        this.report = report;
        this.topics = topics;
    }

    void run() {
        report.run("transactions.copy", this::copy);
        if (!Contract.underFire()) {
            report.run("transactions.abort", this::abort);
            report.run("transactions.fenced", this::fenced);
            report.run("transactions.admin", this::administer);
        }
    }

    private static KafkaProducer<String, String> producer(String id) {
        Map<String, Object> configuration = Map.of(
                "bootstrap.servers", Contract.BOOTSTRAP, "transactional.id", id, "transaction.timeout.ms", 20_000,
                "linger.ms", 1, "delivery.timeout.ms", 30_000, "request.timeout.ms", 5_000, "max.block.ms", 30_000);
        var producer = new KafkaProducer<>(configuration, new StringSerializer(), new StringSerializer());
        long deadline = System.currentTimeMillis() + PATIENCE_MS;
        while (true) {
            try {
                producer.initTransactions();
                return producer;
            } catch (TimeoutException error) {
                // It may be called again, and goes on where it was.
                Report.check(System.currentTimeMillis() < deadline, "no producer: " + error);
            }
        }
    }

    private static KafkaConsumer<String, String> consumer(String group, String isolation) {
        Map<String, Object> configuration = new HashMap<>(Map.of(
                "bootstrap.servers", Contract.BOOTSTRAP, "enable.auto.commit", false, "auto.offset.reset", "earliest",
                "isolation.level", isolation, "max.poll.records", Contract.underFire() ? 1_000 : 20));
        if (group != null) {
            configuration.put("group.id", group);
        }
        return new KafkaConsumer<>(configuration, new StringDeserializer(), new StringDeserializer());
    }

    /** Copies every record of a topic and its own place in it, in transactions; each fifth is given up on purpose. */
    private void copy() throws Exception {
        String from = topics.create("copied-from");
        String to = topics.create("copied-to");
        String name = Contract.topic("copier");
        long records = Contract.produce(from, Map.of());
        var partitions = List.of(new TopicPartition(from, 0), new TopicPartition(from, 1), new TopicPartition(from, 2));
        var producer = producer(name);
        try (var consumer = consumer(name, "read_committed")) {
            consumer.assign(partitions);
            rewind(consumer, partitions);
            long deadline = System.currentTimeMillis() + PATIENCE_MS + 30_000 * Contract.FIRE_SECONDS / 10;
            for (int round = 1; copied(consumer, partitions) < records; round++) {
                Report.check(System.currentTimeMillis() < deadline, "copied " + copied(consumer, partitions));
                var batch = consumer.poll(Duration.ofMillis(100));
                if (batch.isEmpty()) {
                    continue;
                }
                try {
                    producer.beginTransaction();
                    for (var record : batch) {
                        producer.send(new ProducerRecord<>(to, record.partition(), record.key(), record.value()));
                    }
                    var places = new HashMap<TopicPartition, OffsetAndMetadata>();
                    for (var partition : batch.partitions()) {
                        places.put(partition, new OffsetAndMetadata(consumer.position(partition)));
                    }
                    producer.sendOffsetsToTransaction(places, consumer.groupMetadata());
                    if (round % 5 == 0) {
                        producer.abortTransaction();
                        rewind(consumer, partitions);
                    } else {
                        producer.commitTransaction();
                    }
                } catch (KafkaException error) {
                    // What a program does that does not want to tell errors apart: another producer ends what is open.
                    producer.close(Duration.ZERO);
                    producer = producer(name);
                    rewind(consumer, partitions);
                }
            }
        } finally {
            producer.close(Duration.ofSeconds(10));
        }
        Map<Integer, List<String>> expected = new TreeMap<>();
        for (long i = 0; i < records; i++) {
            expected.computeIfAbsent((int) (i % 3), partition -> new ArrayList<>()).add(Contract.value(from, i));
        }
        Report.equal(expected, read(to, records, "read_committed"), "the copies, each once and in order");
    }

    private static void rewind(KafkaConsumer<String, String> consumer, List<TopicPartition> partitions) {
        long deadline = System.currentTimeMillis() + PATIENCE_MS;
        while (true) {
            try {
                var committed = consumer.committed(Set.copyOf(partitions));
                for (var partition : partitions) {
                    var place = committed.get(partition);
                    consumer.seek(partition, place == null ? 0 : place.offset());
                }
                return;
            } catch (TimeoutException error) {
                Report.check(System.currentTimeMillis() < deadline, "no committed offsets: " + error);
            }
        }
    }

    private static long copied(KafkaConsumer<String, String> consumer, List<TopicPartition> partitions) {
        return partitions.stream().mapToLong(consumer::position).sum();
    }

    /** The values of a topic, by partition, once there are so many. */
    private static Map<Integer, List<String>> read(String topic, long enough, String isolation) {
        Map<Integer, List<String>> found = new TreeMap<>();
        try (var consumer = consumer(null, isolation)) {
            var partitions = List.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1), new TopicPartition(topic, 2));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long count = 0;
            long deadline = System.currentTimeMillis() + PATIENCE_MS;
            while (count < enough || consumer.currentLag(partitions.get(0)).orElse(1) > 0) {
                Report.check(System.currentTimeMillis() < deadline, count + " of " + enough + " records, " + isolation);
                for (var record : consumer.poll(Duration.ofMillis(100))) {
                    found.computeIfAbsent(record.partition(), partition -> new ArrayList<>()).add(record.value());
                    count++;
                }
            }
        }
        return found;
    }

    private void abort() throws Exception {
        String topic = topics.create("aborted");
        try (var producer = producer(Contract.topic("aborter"))) {
            for (String value : List.of("a", "b", "c", "d")) {
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(topic, 0, null, value)).get();
                if (value.equals("b") || value.equals("d")) {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
        Report.equal(Map.of(0, List.of("a", "c")), read(topic, 2, "read_committed"), "committed records");
        Report.equal(Map.of(0, List.of("a", "b", "c", "d")), read(topic, 4, "read_uncommitted"), "all records");
    }

    private void fenced() throws Exception {
        String topic = topics.create("fenced");
        String name = Contract.topic("fenced");
        try (var zombie = producer(name)) {
            zombie.beginTransaction();
            zombie.send(new ProducerRecord<>(topic, 1, null, "zombie")).get();
            try (var next = producer(name)) {
                next.beginTransaction();
                next.send(new ProducerRecord<>(topic, 1, null, "next")).get();
                try {
                    zombie.commitTransaction();
                    throw new AssertionError("a producer that was replaced has committed");
                } catch (ProducerFencedException | InvalidProducerEpochException error) {
                    next.commitTransaction();
                }
            }
        }
        Report.equal(Map.of(1, List.of("next")), read(topic, 1, "read_committed"), "committed records");
    }

    private void administer() throws Exception {
        String topic = topics.create("administered");
        String name = Contract.topic("administered");
        var partition = new TopicPartition(topic, 2);
        try (var producer = producer(name)) {
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, 2, null, "hanging")).get();
            var listed = admin.listTransactions().all().get().stream()
                    .filter(listing -> listing.transactionalId().equals(name)).map(TransactionListing::state).toList();
            Report.equal(List.of(TransactionState.ONGOING), listed, "listed");
            var described = admin.describeTransactions(List.of(name)).description(name).get();
            Report.equal(Set.of(partition), described.topicPartitions(), "partitions");
            Report.equal(20_000L, described.transactionTimeoutMs(), "timeout");
            var producers = admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers();
            var open = producers.stream().filter(state -> state.currentTransactionStartOffset().isPresent()).toList();
            Report.equal(List.of(described.producerId()), open.stream().map(ProducerState::producerId).toList(), "open");
            var state = open.get(0);
            var spec = new AbortTransactionSpec(
                    partition, state.producerId(), (short) state.producerEpoch(), state.coordinatorEpoch().orElse(0));
            admin.abortTransaction(spec).all().get();
            var left = admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers();
            Report.check(left.stream().allMatch(one -> one.currentTransactionStartOffset().isEmpty()), "nothing is open");
            admin.fenceProducers(List.of(name)).all().get();
            var after = admin.describeTransactions(List.of(name)).description(name).get();
            Report.check(after.producerEpoch() > described.producerEpoch(), "another epoch");
            producer.close(Duration.ZERO);
        }
    }
}
