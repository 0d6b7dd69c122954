import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * What every client writes and every reader expects: record i goes to partition i mod 3 and is the (i / 3)-th there, so that an
 * offset tells which record it has to be. A record lost, twice or out of order shows at its offset.
 */
final class Contract {
    static final int PARTITIONS = 3;
    static final int RECORDS = Integer.parseInt(System.getenv("RECORDS"));
    static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
    static final String PREFIX = System.getenv("PREFIX");
    static final long EPOCH_MS = Long.parseLong(System.getenv("EPOCH_MS"));
    /** How long to write while brokers die; 0 if they do not. */
    static final long FIRE_SECONDS = Long.parseLong(System.getenv("FIRE_SECONDS"));
    private static final long LOT_MS = 15;
    private static final long READ_TIMEOUT_MS = 60_000;

    private Contract() {}

    static boolean underFire() {
        return FIRE_SECONDS > 0;
    }

    static String topic(String name) {
        return PREFIX + "-" + name;
    }

    static String key(long i) {
        return "key-" + i % 10;
    }

    static String value(String topic, long i) {
        return topic + "/" + i + "/" + "abcdefghij".repeat((int) (i % 20));
    }

    /** Begins again after a while: under fire there are so many that the last would be more than an hour ahead, and brokers refuse that. */
    static long timestamp(long i) {
        return EPOCH_MS + 10 * (i % 100_000);
    }

    /** Later than every record's. */
    static long afterAll() {
        return EPOCH_MS + 10 * 100_000;
    }

    /** Writes the records with this configuration; for as long as brokers die, if they do. Gives how many. */
    static long produce(String topic, Map<String, Object> configuration) throws Exception {
        Map<String, Object> all = new TreeMap<>(Map.of("bootstrap.servers", BOOTSTRAP, "linger.ms", 5));
        all.putAll(configuration);
        long deadline = System.nanoTime() + FIRE_SECONDS * 1_000_000_000L;
        long i = 0;
        try (var producer = new KafkaProducer<>(all, new StringSerializer(), new StringSerializer())) {
            while (i < RECORDS || (underFire() && System.nanoTime() < deadline)) {
                var sent = new java.util.ArrayList<java.util.concurrent.Future<?>>();
                for (int n = 0; n < RECORDS; n++, i++) {
                    var header = new RecordHeader("n", Long.toString(i).getBytes(StandardCharsets.UTF_8));
                    var record = new ProducerRecord<>(
                            topic, (int) (i % PARTITIONS), timestamp(i), key(i), value(topic, i), List.of(header));
                    sent.add(producer.send(record));
                }
                producer.flush();
                for (var future : sent) {
                    future.get();
                }
                // So that the fastest of clients does not write more in a minute than its readers get through.
                Thread.sleep(underFire() ? LOT_MS : 0);
            }
        }
        return i;
    }

    static KafkaConsumer<String, String> consumer() {
        Map<String, Object> configuration = Map.of(
                "bootstrap.servers", BOOTSTRAP, "enable.auto.commit", false, "auto.offset.reset", "none",
                "allow.auto.create.topics", false);
        return new KafkaConsumer<>(configuration, new StringDeserializer(), new StringDeserializer());
    }

    /** Reads every partition from its offset to the end of `records` records and checks each. */
    static void verify(String topic, long records, Map<Integer, Long> from) {
        try (var consumer = consumer()) {
            var partitions = from.keySet().stream().map(partition -> new TopicPartition(topic, partition)).toList();
            consumer.assign(partitions);
            Map<Integer, Long> next = new TreeMap<>(from);
            partitions.forEach(partition -> consumer.seek(partition, from.get(partition.partition())));
            long deadline = System.nanoTime() + READ_TIMEOUT_MS * 1_000_000;
            while (next.entrySet().stream().anyMatch(entry -> entry.getValue() < end(records, entry.getKey()))) {
                Report.check(System.nanoTime() < deadline, "still at " + next + " of " + records + " records");
                for (var record : consumer.poll(java.time.Duration.ofMillis(100))) {
                    long offset = next.merge(record.partition(), 1L, Long::sum) - 1;
                    Report.equal(offset, record.offset(), "offset in partition " + record.partition());
                    verify(topic, record);
                }
            }
            for (var end : consumer.endOffsets(partitions).entrySet()) {
                Report.equal(end(records, end.getKey().partition()), end.getValue(), "end of " + end.getKey());
            }
        }
    }

    static void verify(String topic, long records) {
        verify(topic, records, Map.of(0, 0L, 1, 0L, 2, 0L));
    }

    /** How many of `records` records are in a partition. */
    static long end(long records, int partition) {
        return (records - partition + PARTITIONS - 1) / PARTITIONS;
    }

    static void verify(String topic, ConsumerRecord<String, String> record) {
        long i = record.offset() * PARTITIONS + record.partition();
        Report.equal(value(topic, i), record.value(), "value of record " + i);
        Report.equal(key(i), record.key(), "key of record " + i);
        Report.equal(timestamp(i), record.timestamp(), "timestamp of record " + i);
        var header = record.headers().lastHeader("n");
        Report.check(header != null, "record " + i + " has lost its header");
        Report.equal(Long.toString(i), new String(header.value(), StandardCharsets.UTF_8), "header of record " + i);
    }
}
