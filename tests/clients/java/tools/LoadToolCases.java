import java.util.Set;
import java.util.TreeSet;

/** The tools that write and read a given number of records. */
final class LoadToolCases extends Tools {
    private static final String VERIFIABLE_PRODUCER = "org.apache.kafka.tools.VerifiableProducer";
    private static final String VERIFIABLE_CONSUMER = "org.apache.kafka.tools.VerifiableConsumer";
    private static final String CONSUMER_PERFORMANCE = "org.apache.kafka.tools.ConsumerPerformance";
    private static final String LATENCY = "org.apache.kafka.tools.EndToEndLatency";

    private final Report report;

    LoadToolCases(Report report) {
        this.report = report;
    }

    void run() {
        if (FIRE_SECONDS > 0) {
            report.run("verifiable", this::verifiableUnderFire);
            return;
        }
        report.run("verifiable", this::verifiable);
        report.run("consumer-perf-test", this::consume);
        report.run("e2e-latency", this::latency);
    }

    private void verifiable() throws Exception {
        String topic = PREFIX + "-verifiable";
        create(topic, "--partitions", "1", "--replication-factor", "3");
        String sent = process(VERIFIABLE_PRODUCER, "--topic", topic, "--max-messages", "200", "--acks", "-1", "--value-prefix", "7");
        Report.equal(200, all(sent, "\"name\":\"producer_send_success\"").size(), "records acknowledged");
        has(sent, "\"sent\":200,\"acked\":200|\"acked\":200,.*\"sent\":200");
        for (int i = 0; i < 200; i++) {
            has(sent, "\"value\":\"7\\." + i + "\".*\"offset\":" + i + "[,}]|\"offset\":" + i + ",.*\"value\":\"7\\." + i + "\"");
        }
        String[] about = {"--topic", topic, "--group-id", PREFIX + "-verifiers", "--max-messages", "200", "--verbose"};
        String read = process(VERIFIABLE_CONSUMER, about);
        Report.equal(200, all(read, "\"name\":\"record_data\"").size(), "records read");
        has(read, "\"value\":\"7\\.199\".*\"offset\":199|\"offset\":199.*\"value\":\"7\\.199\"");
        has(read, "\"name\":\"offsets_committed\".*\"offset\":200|\"offset\":200.*\"name\":\"offsets_committed\"");
    }

    /** It does not send again what has failed: what was acknowledged is there, and what was not may be. */
    private void verifiableUnderFire() throws Exception {
        String topic = PREFIX + "-verifiable";
        create(topic, "--partitions", "3", "--replication-factor", "3");
        String messages = Long.toString(FIRE_SECONDS * 200);
        String sent = process(VERIFIABLE_PRODUCER, "--topic", topic, "--max-messages", messages, "--throughput", "200", "--acks", "-1");
        var acknowledged = values(sent, "producer_send_success");
        Report.check(acknowledged.size() > FIRE_SECONDS * 20, "only " + acknowledged.size() + " records were acknowledged");
        long there = all(tool(OFFSETS, "--topic", topic), topic + ":\\d:(\\d+)").stream()
                .mapToLong(found -> Long.parseLong(found.group(1))).sum();
        String[] about = {"--topic", topic, "--group-id", PREFIX + "-verifiers", "--max-messages", Long.toString(there), "--verbose"};
        acknowledged.removeAll(values(process(VERIFIABLE_CONSUMER, about), "record_data"));
        Report.equal(Set.of(), acknowledged, "what was acknowledged and is not there");
    }

    private static Set<String> values(String told, String name) {
        var values = new TreeSet<String>();
        told.lines().filter(line -> line.contains("\"name\":\"" + name + "\""))
                .forEach(line -> values.add(one(line, "\"value\":\"(\\d+)\"").group(1)));
        return values;
    }

    private void consume() throws Exception {
        String topic = produced("read", 3_000);
        String told = tool(CONSUMER_PERFORMANCE, "--topic", topic, "--num-records", "3000", "--group", PREFIX + "-readers");
        // Begin, end, MB, MB a second, records: "one line" has eight bytes.
        has(told, "(?m)^\\d{4}-[^,]*, \\d{4}-[^,]*, 0\\.0229, [0-9.]+, 3000, ");
    }

    private void latency() throws Exception {
        String topic = PREFIX + "-latency";
        create(topic, "--partitions", "1", "--replication-factor", "3");
        String[] words = {"--topic", topic, "--num-records", "100", "--producer-acks", "all", "--record-size", "50"};
        String told = tool(LATENCY, words);
        has(told, "Avg latency: [0-9.]+ ms");
        has(told, "Percentiles: 50th = \\d+, 99th = \\d+, 99\\.9th = \\d+");
        Report.equal(topic + ":0:100", tool(OFFSETS, "--topic", topic).strip(), "end");
    }
}
