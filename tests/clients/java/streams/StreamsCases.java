import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Consumer;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindows;

/**
 * Kafka Streams with `exactly_once_v2`: what comes out is compared with what is computed here, without it. Every record is written
 * with a time of its own, so that windows do not depend on when a case runs.
 */
public final class StreamsCases {
    private static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
    private static final String PREFIX = System.getenv("PREFIX");
    private static final long EPOCH_MS = Long.parseLong(System.getenv("EPOCH_MS")) / 60_000 * 60_000;
    private static final long FIRE_SECONDS = Long.parseLong(System.getenv("FIRE_SECONDS"));
    private static final int RECORDS = Integer.parseInt(System.getenv("RECORDS"));
    private static final long PATIENCE_MS = 120_000 + 10_000 * FIRE_SECONDS;
    private static final List<String> WORDS = List.of("broker", "leader", "follower", "epoch", "offset", "log", "quorum");
    private static final Duration WINDOW = Duration.ofSeconds(10);
    private static final Duration APART = Duration.ofMillis(25);

    private final Admin admin = Admin.create(Map.of("bootstrap.servers", BOOTSTRAP));
    private final Report report;

    private StreamsCases(String[] chosen) {
        report = new Report(chosen);
    }

    public static void main(String[] chosen) {
        var cases = new StreamsCases(chosen);
        cases.report.run("filter-map", cases::filterAndMap);
        cases.report.run("word-count", cases::wordCount);
        cases.report.run("windows", cases::windows);
        cases.report.run("stream-table-join", cases::streamTable);
        cases.report.run("stream-stream-join", cases::streamStream);
        cases.report.run("two-instances", cases::twoInstances);
        cases.report.done();
    }

    /** A record to write: where, and when it says that it was. */
    private record Line(String topic, String key, String value, long at) {}

    private void filterAndMap() throws Exception {
        String from = create("lines"), to = create("loud");
        var written = lines(from, RECORDS);
        List<String> expected = new ArrayList<>();
        written.stream().filter(line -> line.value().contains("leader"))
                .forEach(line -> expected.add(line.key() + "=" + line.value().toUpperCase()));
        try (var app = new App("filter-map", 1, builder -> builder.<String, String>stream(from)
                .filter((key, value) -> value.contains("leader")).mapValues(value -> value.toUpperCase()).to(to))) {
            write(written);
            app.untilSame(to, expected, false);
        }
    }

    private void wordCount() throws Exception {
        String from = create("texts"), to = create("counts");
        var written = lines(from, RECORDS);
        Map<String, Integer> counts = new TreeMap<>();
        written.forEach(line -> Arrays.stream(line.value().split(" ")).forEach(word -> counts.merge(word, 1, Integer::sum)));
        List<String> expected = counts.entrySet().stream().map(one -> one.getKey() + "=" + one.getValue()).toList();
        try (var app = new App("word-count", 1, count(from, to))) {
            write(written);
            app.untilSame(to, expected, true);
        }
    }

    private static Consumer<StreamsBuilder> count(String from, String to) {
        return builder -> builder.<String, String>stream(from)
                .flatMapValues(value -> List.of(value.split(" "))).groupBy((key, word) -> word).count()
                .toStream().mapValues(count -> Long.toString(count)).to(to);
    }

    /** How many records of each key there are in each ten seconds. */
    private void windows() throws Exception {
        String from = create("timed"), to = create("windowed");
        var written = lines(from, RECORDS);
        Map<String, Integer> counts = new TreeMap<>();
        written.forEach(line -> {
            long begin = line.at() / WINDOW.toMillis() * WINDOW.toMillis();
            counts.merge(line.key() + "@" + begin, 1, Integer::sum);
        });
        List<String> expected = counts.entrySet().stream().map(one -> one.getKey() + "=" + one.getValue()).toList();
        try (var app = new App("windows", 1, builder -> builder.<String, String>stream(from).groupByKey()
                .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, Duration.ofHours(24))).count().toStream()
                .map((window, count) -> new org.apache.kafka.streams.KeyValue<>(window.key() + "@" + window.window().start(),
                        Long.toString(count))).to(to))) {
            write(written);
            app.untilSame(to, expected, true);
        }
    }

    private void streamTable() throws Exception {
        String table = create("table"), from = create("facts"), to = create("joined");
        List<Line> rows = new ArrayList<>();
        for (int i = 0; i < WORDS.size(); i++) {
            rows.add(new Line(table, "key-" + i, WORDS.get(i), EPOCH_MS));
        }
        // The table is there before the stream is: records of the same time would be joined in any order.
        write(rows);
        var written = lines(from, RECORDS);
        List<String> expected = new ArrayList<>();
        for (Line line : written) {
            int i = Integer.parseInt(line.key().substring(4));
            if (i < WORDS.size()) {
                expected.add(line.key() + "=" + line.value() + "/" + WORDS.get(i));
            }
        }
        try (var app = new App("stream-table", 1, builder -> {
            KTable<String, String> right = builder.table(table);
            builder.<String, String>stream(from).join(right, (one, other) -> one + "/" + other).to(to);
        })) {
            write(written);
            app.untilSame(to, expected, false);
        }
    }

    /** Every pair of records of a key that are not further apart than so. */
    private void streamStream() throws Exception {
        String left = create("left"), right = create("right"), to = create("pairs");
        var lefts = lines(left, RECORDS);
        var rights = lines(right, RECORDS);
        Map<String, List<Line>> byKey = new HashMap<>();
        rights.forEach(line -> byKey.computeIfAbsent(line.key(), key -> new ArrayList<>()).add(line));
        List<String> expected = new ArrayList<>();
        for (Line one : lefts) {
            for (Line other : byKey.get(one.key())) {
                if (Math.abs(one.at() - other.at()) <= APART.toMillis()) {
                    expected.add(one.key() + "=" + one.value() + "/" + other.value());
                }
            }
        }
        try (var app = new App("stream-stream", 1, builder -> {
            KStream<String, String> others = builder.stream(right);
            builder.<String, String>stream(left).join(others, (one, other) -> one + "/" + other,
                    JoinWindows.ofTimeDifferenceAndGrace(APART, Duration.ofHours(24)),
                    StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String())).to(to);
        })) {
            var both = new ArrayList<Line>();
            for (int i = 0; i < lefts.size(); i++) {
                both.add(lefts.get(i));
                both.add(rights.get(i));
            }
            write(both);
            app.untilSame(to, expected, false);
        }
    }

    /** A second instance takes a share over and the first one goes, its state with it: what was counted stays counted. */
    private void twoInstances() throws Exception {
        String from = create("shared"), to = create("shared-counts");
        var first = lines(from, RECORDS);
        var second = new ArrayList<Line>();
        lines(from, RECORDS).forEach(line -> second.add(new Line(from, line.key(), line.value(), line.at() + 1)));
        Map<String, Integer> counts = new TreeMap<>();
        first.forEach(line -> Arrays.stream(line.value().split(" ")).forEach(word -> counts.merge(word, 2, Integer::sum)));
        List<String> half = counts.entrySet().stream().map(one -> one.getKey() + "=" + one.getValue() / 2).toList();
        List<String> whole = counts.entrySet().stream().map(one -> one.getKey() + "=" + one.getValue()).toList();
        try (var one = new App("two-instances", 1, count(from, to))) {
            write(first);
            one.untilSame(to, half, true);
            try (var other = new App("two-instances", 2, count(from, to))) {
                Report.eventually("the other one works too", () -> other.owns() > 0 && one.owns() > 0);
                one.stop();
                write(second);
                other.untilSame(to, whole, true);
            }
        }
    }

    /** A topology that runs; nothing of its state on disk is left when it is closed. */
    private final class App implements AutoCloseable {
        private final KafkaStreams streams;
        private final Path folder = Files.createTempDirectory("kafkarium-streams");
        private volatile Throwable wrong;

        App(String name, int instance, Consumer<StreamsBuilder> topology) throws Exception {
            var settings = new Properties();
            settings.put(StreamsConfig.APPLICATION_ID_CONFIG, PREFIX + "-" + name);
            settings.put(StreamsConfig.CLIENT_ID_CONFIG, name + "-" + instance);
            settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, BOOTSTRAP);
            settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
            settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 3);
            settings.put(StreamsConfig.STATE_DIR_CONFIG, folder.toString());
            settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
            settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
            settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
            settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
            settings.put(StreamsConfig.consumerPrefix("session.timeout.ms"), 10_000);
            settings.put(StreamsConfig.consumerPrefix("heartbeat.interval.ms"), 500);
            settings.put(StreamsConfig.producerPrefix("transaction.timeout.ms"), 20_000);
            var builder = new StreamsBuilder();
            topology.accept(builder);
            streams = new KafkaStreams(builder.build(), settings);
            streams.setUncaughtExceptionHandler(error -> {
                error.printStackTrace();
                if (FIRE_SECONDS > 0) {
                    return StreamThreadExceptionResponse.REPLACE_THREAD;
                }
                wrong = error;
                return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            streams.start();
        }

        int owns() {
            return streams.metadataForLocalThreads().stream().mapToInt(thread -> thread.activeTasks().size()).sum();
        }

        /** Waits until a topic holds just this: every record, or only the last one of each key. */
        void untilSame(String topic, List<String> expected, boolean lasts) {
            var wanted = new ArrayList<>(expected);
            wanted.sort(Comparator.naturalOrder());
            var found = new ArrayList<String>();
            long deadline = System.currentTimeMillis() + PATIENCE_MS;
            try (var consumer = reader(topic)) {
                Map<String, String> last = new TreeMap<>();
                while (!found.equals(wanted)) {
                    Report.check(wrong == null, "the topology has failed: " + wrong);
                    Report.check(System.currentTimeMillis() < deadline, difference(wanted, found));
                    for (var record : consumer.poll(Duration.ofMillis(100))) {
                        last.put(record.key(), record.value());
                        if (!lasts) {
                            found.add(record.key() + "=" + record.value());
                        }
                    }
                    if (lasts) {
                        found.clear();
                        last.forEach((key, value) -> found.add(key + "=" + value));
                    }
                    found.sort(Comparator.naturalOrder());
                    Report.check(lasts || found.size() <= wanted.size(), "too much: " + difference(wanted, found));
                }
                // Whatever was written besides would be next.
                Report.check(lasts || consumer.poll(Duration.ofMillis(500)).isEmpty(), "there is more in " + topic);
            }
        }

        void stop() {
            Report.check(streams.close(Duration.ofSeconds(60)), "it does not stop");
        }

        @Override
        public void close() {
            stop();
            remove(folder);
        }
    }

    private static String difference(List<String> wanted, List<String> found) {
        var missing = new TreeSet<>(wanted);
        missing.removeAll(found);
        var more = new TreeSet<>(found);
        more.removeAll(wanted);
        return found.size() + " of " + wanted.size() + ", missing " + few(missing) + ", not expected " + few(more);
    }

    private static List<String> few(TreeSet<String> all) {
        return all.stream().limit(3).toList();
    }

    private static void remove(Path path) {
        try (var inside = Files.walk(path)) {
            inside.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
        } catch (java.io.IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
    }

    private static KafkaConsumer<String, String> reader(String topic) {
        Map<String, Object> configuration = Map.of(
                "bootstrap.servers", BOOTSTRAP, "enable.auto.commit", false, "isolation.level", "read_committed");
        var consumer = new KafkaConsumer<>(configuration, new StringDeserializer(), new StringDeserializer());
        var partitions = List.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1), new TopicPartition(topic, 2));
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        return consumer;
    }

    /** So many texts of three words, each ten milliseconds after the one before. */
    private static List<Line> lines(String topic, int count) {
        var lines = new ArrayList<Line>();
        for (int i = 0; i < count; i++) {
            int words = WORDS.size();
            String text = WORDS.get(i % words) + " " + WORDS.get(i / 2 % words) + " " + WORDS.get(i / 5 % words);
            lines.add(new Line(topic, "key-" + i % 10, text + " n" + i % 100, EPOCH_MS + 10L * i));
        }
        return lines;
    }

    /** Writes it all; while brokers die, slowly enough that some do. */
    private static void write(List<Line> lines) throws Exception {
        Map<String, Object> configuration = Map.of("bootstrap.servers", BOOTSTRAP, "linger.ms", 5);
        int lots = FIRE_SECONDS > 0 ? 20 : 1;
        try (var producer = new KafkaProducer<>(configuration, new StringSerializer(), new StringSerializer())) {
            for (int lot = 0; lot < lots; lot++) {
                var sent = new ArrayList<java.util.concurrent.Future<?>>();
                for (Line line : lines.subList(lines.size() * lot / lots, lines.size() * (lot + 1) / lots)) {
                    sent.add(producer.send(new ProducerRecord<>(line.topic(), null, line.at(), line.key(), line.value())));
                }
                producer.flush();
                for (var one : sent) {
                    one.get();
                }
                Thread.sleep(FIRE_SECONDS * 1_000 / lots);
            }
        }
    }

    private String create(String name) throws Exception {
        String topic = PREFIX + "-" + name;
        Report.eventually(topic + " is made", () -> {
            try {
                admin.createTopics(List.of(new NewTopic(topic, 3, (short) 3))).all().get();
                return true;
            } catch (java.util.concurrent.ExecutionException error) {
                if (error.getCause() instanceof TopicExistsException) {
                    return true;
                }
                if (FIRE_SECONDS == 0) {
                    throw error;
                }
                return false;
            }
        });
        return topic;
    }
}
