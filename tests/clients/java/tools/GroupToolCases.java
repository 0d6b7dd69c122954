import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The tools for groups and for transactions. */
final class GroupToolCases extends Tools {
    private static final String GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
    private static final String CONFIGS = "kafka.admin.ConfigCommand";
    private static final String ALL_GROUPS = "org.apache.kafka.tools.GroupsCommand";
    private static final String TOO_LONG_MINUTES = "15";

    private final Report report;

    GroupToolCases(Report report) {
        this.report = report;
    }

    void run() {
        report.run("consumer-groups.describe", this::describe);
        report.run("consumer-groups.describe-consumer", this::describeConsumers);
        report.run("configs.group", this::configs);
        report.run("consumer-groups.reset-offsets", this::reset);
        report.run("consumer-groups.delete", this::delete);
        report.run("groups", this::groups);
        report.run("transactions", this::transactions);
        report.run("transactions.abort", this::abort);
    }

    /** A member of a group that has read all of a topic and committed its place 10 records before the end. */
    private static KafkaConsumer<String, String> member(String group, String topic, String instance) {
        return member(group, topic, instance, "classic");
    }

    private static KafkaConsumer<String, String> member(String group, String topic, String instance, String protocol) {
        Map<String, Object> configuration = Map.of(
                "bootstrap.servers", BOOTSTRAP, "group.id", group, "enable.auto.commit", false, "auto.offset.reset", "earliest",
                "client.id", "the-client", "group.instance.id", instance, "group.protocol", protocol);
        var consumer = new KafkaConsumer<>(configuration, new StringDeserializer(), new StringDeserializer());
        consumer.subscribe(List.of(topic));
        var partition = new TopicPartition(topic, 0);
        long deadline = System.nanoTime() + 60_000_000_000L;
        while (consumer.assignment().isEmpty() || consumer.position(partition) < 40) {
            Report.check(System.nanoTime() < deadline, "nothing is read");
            consumer.poll(Duration.ofMillis(100));
        }
        consumer.commitSync(Map.of(partition, new OffsetAndMetadata(30)));
        return consumer;
    }

    private void configs() throws Exception {
        String[] about = {"--entity-type", "groups", "--entity-name", PREFIX + "-configured"};
        has(tool(CONFIGS, with(about, "--alter", "--add-config", "consumer.session.timeout.ms=50000")), "Completed updating config for group");
        Report.eventually("it is told",
                () -> tool(CONFIGS, with(about, "--describe")).contains("GROUP_CONFIG:consumer.session.timeout.ms=50000"));
        has(tool(CONFIGS, with(about, "--describe", "--all")), "(?m)^\\s*consumer\\.heartbeat\\.interval\\.ms=\\d+ ");
        has(toolFails(CONFIGS, with(about, "--alter", "--add-config", "consumer.session.timeout.ms=1")), "must be greater than or equal");
        tool(CONFIGS, with(about, "--alter", "--delete-config", "consumer.session.timeout.ms"));
        Report.eventually("it is gone",
                () -> !tool(CONFIGS, with(about, "--describe")).contains("GROUP_CONFIG:consumer.session.timeout.ms"));
    }

    private void describe() throws Exception {
        String topic = produced("grouped", 40);
        String group = PREFIX + "-described";
        String[] about = {"--describe", "--group", group};
        try (var member = member(group, topic, "the-instance")) {
            has(tool(GROUPS, "--list"), "(?m)^" + group + "$");
            has(tool(GROUPS, "--list", "--state"), "(?m)^" + group + "\\s+Stable\\s*$");
            String offsets = tool(GROUPS, with(about, "--offsets"));
            String row = group + "\\s+" + topic + "\\s+0\\s+(\\S+\\s+)?30\\s+40\\s+10\\s+the-instance-\\S+\\s+/127\\.0\\.0\\.1\\s+the-client";
            Report.equal(1, all(offsets, row).size(), "rows of offsets in " + offsets);
            String members = tool(GROUPS, with(about, "--members", "--verbose"));
            has(members, group + "\\s+the-instance-\\S+\\s+the-instance\\s+/127\\.0\\.0\\.1\\s+the-client\\s+1\\s.*0");
            String state = tool(GROUPS, with(about, "--state"));
            has(state, group + "\\s+127\\.0\\.0\\.1:\\d+\\s+\\([123]\\)\\s+range\\s+Stable\\s+.*1");
            has(toolFailsOrSays(GROUPS, "--delete", "--group", group), "GroupNotEmptyException|not empty");
            String[] reset = {"--reset-offsets", "--group", group, "--topic", topic, "--to-earliest", "--execute"};
            has(toolFailsOrSays(GROUPS, reset), "(?i)inactive|Stable");
            Report.equal(30L, member.committed(java.util.Set.of(new TopicPartition(topic, 0)))
                    .get(new TopicPartition(topic, 0)).offset(), "what is committed after all that");
        }
    }

    /** The same of a group of the consumer protocol (KIP-848), which has epochs and targets. */
    private void describeConsumers() throws Exception {
        String topic = produced("grouped-consumers", 40);
        String group = PREFIX + "-described-consumers";
        String[] about = {"--describe", "--group", group};
        try (var member = member(group, topic, "the-instance", "consumer")) {
            has(tool(GROUPS, "--list", "--type", "consumer", "--state", "stable"), "(?m)^" + group + "\\s+Consumer\\s+Stable\\s*$");
            String members = tool(GROUPS, with(about, "--members", "--verbose"));
            has(members, group + "\\s+\\S+\\s+the-instance\\s+/127\\.0\\.0\\.1\\s+the-client\\s+1\\s+1\\s+" + topic + ":0\\s+1\\s+" + topic + ":0");
            has(tool(GROUPS, with(about, "--state", "--verbose")),
                    group + "\\s+127\\.0\\.0\\.1:\\d+\\s+\\([123]\\)\\s+uniform\\s+Stable\\s+1\\s+1\\s+1");
            has(tool(GROUPS, with(about, "--offsets")), group + "\\s+" + topic + "\\s+0\\s+(\\S+\\s+)?30\\s+40\\s+10\\s");
            has(toolFailsOrSays(GROUPS, "--delete", "--group", group), "GroupNotEmptyException|not empty");
            Report.equal(1, member.assignment().size(), "partitions after all that");
        }
    }

    /** Makes a group without members whose place in a topic of 40 records is 30. */
    private static String emptied(String name, String topic) {
        String group = PREFIX + "-" + name;
        Map<String, Object> configuration = Map.of("bootstrap.servers", BOOTSTRAP, "group.id", group, "enable.auto.commit", false);
        try (var consumer = new KafkaConsumer<>(configuration, new StringDeserializer(), new StringDeserializer())) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            consumer.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(30)));
        }
        return group;
    }

    private static void at(String group, String topic, long offset) throws Exception {
        String told = tool(GROUPS, "--describe", "--group", group);
        has(told, group + "\\s+" + topic + "\\s+0\\s+(\\S+\\s+)?" + offset + "\\s+40\\s+" + (40 - offset) + "\\s");
    }

    private void reset() throws Exception {
        String topic = produced("reset", 40);
        String group = emptied("reset", topic);
        String[] about = {"--reset-offsets", "--group", group, "--topic", topic};
        String row = group + "\\s+" + topic + "\\s+0\\s+";
        at(group, topic, 30);
        has(tool(GROUPS, with(about, "--to-earliest", "--dry-run")), row + "0");
        at(group, topic, 30);
        has(tool(GROUPS, with(about, "--to-earliest", "--execute")), row + "0");
        at(group, topic, 0);
        has(tool(GROUPS, with(about, "--to-offset", "25", "--execute")), row + "25");
        has(tool(GROUPS, with(about, "--shift-by", "-5", "--execute")), row + "20");
        at(group, topic, 20);
        has(tool(GROUPS, with(about, "--to-datetime", "2001-01-01T00:00:00.000", "--execute")), row + "0");
        at(group, topic, 0);
        has(tool(GROUPS, with(about, "--to-latest", "--execute")), row + "40");
        at(group, topic, 40);
        String exported = tool(GROUPS, with(about, "--to-current", "--dry-run", "--export"));
        has(exported, "\"?" + topic + "\"?,0,40");
        Path file = Files.createTempFile("kafkarium-clients", ".csv");
        file.toFile().deleteOnExit();
        Files.writeString(file, topic + ",0,12\n");
        has(tool(GROUPS, "--reset-offsets", "--group", group, "--from-file", file.toString(), "--execute"), row + "12");
        at(group, topic, 12);
    }

    private void delete() throws Exception {
        String topic = produced("deleted-group", 40);
        String group = emptied("deleted", topic);
        String other = emptied("deleted-offsets", topic);
        at(other, topic, 30);
        has(tool(GROUPS, "--delete-offsets", "--group", other, "--topic", topic), topic + "\\s+0\\s+Successful");
        Report.check(!tool(GROUPS, "--describe", "--group", other, "--offsets").contains(topic), "its offset is gone");
        has(tool(GROUPS, "--delete", "--group", group), "Deletion of requested consumer groups \\(.*" + group + ".*\\) was successful");
        Report.check(all(tool(GROUPS, "--list"), "(?m)^" + group + "$").isEmpty(), "the group is gone");
        has(toolFailsOrSays(GROUPS, "--delete", "--group", group), "GroupIdNotFoundException|not found|does not exist");
    }

    private void groups() throws Exception {
        String topic = produced("listed", 40);
        String group = PREFIX + "-listed";
        try (var member = member(group, topic, "another")) {
            has(tool(ALL_GROUPS, "--list"), group + "\\s+Classic\\s+consumer");
            has(tool(ALL_GROUPS, "--list", "--consumer"), group + "\\s+Classic\\s+consumer");
            Report.check(!tool(ALL_GROUPS, "--list", "--share").contains(group), "it is no share group");
            Report.equal(1, member.assignment().size(), "what the member owns");
        }
    }

    private static KafkaProducer<String, String> transactor(String name) {
        Map<String, Object> configuration = Map.of("bootstrap.servers", BOOTSTRAP, "transactional.id", name);
        var producer = new KafkaProducer<>(configuration, new StringSerializer(), new StringSerializer());
        producer.initTransactions();
        return producer;
    }

    private void transactions() throws Exception {
        String topic = produced("transactions", 1);
        String name = PREFIX + "-transactor";
        try (var producer = transactor(name)) {
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, 0, "key", "value")).get();
            has(tool(TRANSACTIONS, "list"), "(?m)^" + name + "\\s+[123]\\s+\\d+\\s+Ongoing\\s*$");
            String described = tool(TRANSACTIONS, "describe", "--transactional-id", name);
            has(described, "(?m)^[123]\\s+" + name + "\\s+\\d+\\s+\\d+\\s+Ongoing\\s+60000\\s+\\S.*" + topic + "-0\\s*$");
            String producers = tool(TRANSACTIONS, "describe-producers", "--topic", topic, "--partition", "0");
            has(producers, "(?m)^\\d+\\s+\\d+\\s+-?\\d+\\s+0\\s+\\d+\\s+1\\s*$");
            // It is open, and its coordinator knows of it.
            String[] about = {"find-hanging", "--topic", topic, "--max-transaction-timeout", "0"};
            Report.equal(0, all(tool(TRANSACTIONS, about), "(?m)^" + topic).size(), "hanging transactions");
            producer.commitTransaction();
            // The producer is told as soon as it is decided.
            String complete = name + "\\s+\\d+\\s+\\d+\\s+CompleteCommit\\s";
            Report.eventually("it is complete",
                    () -> !all(tool(TRANSACTIONS, "describe", "--transactional-id", name), complete).isEmpty());
            Report.equal(0, all(tool(TRANSACTIONS, "find-hanging", "--broker-id", "1", "--max-transaction-timeout", TOO_LONG_MINUTES),
                    "(?m)^" + topic).size(), "hanging transactions");
        }
    }

    private void abort() throws Exception {
        String topic = produced("aborted", 5);
        String name = PREFIX + "-aborted";
        try (var producer = transactor(name)) {
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, 0, "key", "value")).get();
            String open = "(?m)^\\d+\\s+\\d+\\s+-?\\d+\\s+\\d+\\s+\\d+\\s+5\\s*$";
            String[] about = {"describe-producers", "--topic", topic, "--partition", "0"};
            has(tool(TRANSACTIONS, about), open);
            Report.equal(5L, stable(topic), "last stable offset");
            tool(TRANSACTIONS, "abort", "--topic", topic, "--partition", "0", "--start-offset", "5");
            Report.equal(0, all(tool(TRANSACTIONS, about), open).size(), "open transactions");
            // Behind the record and the marker that ended its transaction.
            Report.equal(7L, stable(topic), "last stable offset after it was aborted");
            producer.close(Duration.ZERO);
        }
    }

    private static long stable(String topic) {
        Map<String, Object> configuration = Map.of("bootstrap.servers", BOOTSTRAP, "isolation.level", "read_committed");
        var partition = new TopicPartition(topic, 0);
        try (var consumer = new KafkaConsumer<>(configuration, new StringDeserializer(), new StringDeserializer())) {
            return consumer.endOffsets(List.of(partition)).get(partition);
        }
    }

    private static String toolFailsOrSays(String main, String... words) throws Exception {
        return run(null, null, main, with(AT_BOOTSTRAP, words));
    }
}
