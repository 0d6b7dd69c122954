import java.util.ArrayList;
import java.util.regex.MatchResult;

/**
 * Kafka's own command-line tools, as their shell scripts call them, in one process: starting a Java machine for each would take
 * most of the time. What a tool prints is what is checked.
 */
public final class ToolCases extends Tools {
    private static final String CONFIGS = "kafka.admin.ConfigCommand";
    private static final String DELETE_RECORDS = "org.apache.kafka.tools.DeleteRecordsCommand";
    private static final String ELECTION = "org.apache.kafka.tools.LeaderElectionCommand";
    private static final String REASSIGN = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
    private static final String QUORUM = "org.apache.kafka.tools.MetadataQuorumCommand";
    private static final String LOG_DIRS = "org.apache.kafka.tools.LogDirsCommand";
    private static final String FEATURES = "org.apache.kafka.tools.FeatureCommand";
    private static final String CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    private static final String API_VERSIONS = "org.apache.kafka.tools.BrokerApiVersionsCommand";
    private static final String PERFORMANCE = "org.apache.kafka.tools.ProducerPerformance";
    private static final String CLUSTER = "org.apache.kafka.tools.ClusterTool";

    private final Report report;

    private ToolCases(String[] chosen) {
        report = new Report(chosen);
    }

    public static void main(String[] chosen) {
        catchExits();
        var cases = new ToolCases(chosen);
        if (FIRE_SECONDS == 0) {
            cases.topics();
            cases.configs();
            cases.records();
            cases.placement();
            cases.cluster();
            new GroupToolCases(cases.report).run();
        }
        new LoadToolCases(cases.report).run();
        cases.report.done();
    }

    private void topics() {
        report.run("topics", () -> {
            String topic = PREFIX + "-topics";
            String created = create(topic, "--partitions", "2", "--replication-factor", "3", "--config", "retention.ms=7200000");
            has(created, "Created topic " + topic + "\\.");
            has(toolFails(TOPICS, "--create", "--topic", topic), "Topic '" + topic + "' already exists");
            has(tool(TOPICS, "--list"), "(?m)^" + topic + "$");
            String described = tool(TOPICS, "--describe", "--topic", topic);
            has(described, "PartitionCount: 2\\s+ReplicationFactor: 3\\s+Configs: .*retention\\.ms=7200000");
            Report.equal(2, all(described, "Partition: \\d\\s+Leader: [123]\\s+Replicas: [123],[123],[123]\\s+Isr: [123],[123],[123]")
                    .size(), "partitions with three replicas in sync");
            tool(TOPICS, "--alter", "--topic", topic, "--partitions", "4");
            Report.eventually("four partitions",
                    () -> tool(TOPICS, "--describe", "--topic", topic).contains("PartitionCount: 4"));
            has(toolFails(TOPICS, "--alter", "--topic", topic, "--partitions", "3"), "(?i)partition");
            Report.equal("", tool(TOPICS, "--describe", "--under-replicated-partitions", "--topic", topic), "under-replicated");
            tool(TOPICS, "--delete", "--topic", topic);
            Report.eventually("it is gone", () -> !tool(TOPICS, "--list").contains(topic));
            has(toolFails(TOPICS, "--describe", "--topic", topic), "does not exist as expected");
        });
    }

    private void configs() {
        report.run("configs.topic", () -> {
            String topic = PREFIX + "-configs";
            create(topic, "--partitions", "1");
            String[] about = {"--entity-type", "topics", "--entity-name", topic};
            has(tool(CONFIGS, with(about, "--alter", "--add-config", "max.message.bytes=64000,retention.ms=7200000")),
                    "Completed updating config for topic " + topic);
            Report.eventually("both are told", () -> {
                String told = tool(CONFIGS, with(about, "--describe"));
                return told.contains("max.message.bytes=64000") && told.contains("DYNAMIC_TOPIC_CONFIG:retention.ms=7200000");
            });
            tool(CONFIGS, with(about, "--alter", "--delete-config", "max.message.bytes"));
            Report.eventually("one is gone", () -> !tool(CONFIGS, with(about, "--describe")).contains("max.message.bytes"));
            has(tool(CONFIGS, with(about, "--describe", "--all")), "segment.bytes=1073741824 .*DEFAULT_CONFIG:log.segment.bytes");
            has(toolFails(CONFIGS, with(about, "--alter", "--add-config", "retention.ms=long")), "InvalidConfiguration|Invalid value");
        });
        report.run("configs.broker", () -> {
            String[] about = {"--entity-type", "brokers", "--entity-name", "2"};
            tool(CONFIGS, with(about, "--alter", "--add-config", "log.cleaner.threads=2"));
            Report.eventually("it is told",
                    () -> tool(CONFIGS, with(about, "--describe")).contains("DYNAMIC_BROKER_CONFIG:log.cleaner.threads=2"));
            tool(CONFIGS, with(about, "--alter", "--delete-config", "log.cleaner.threads"));
            has(tool(CONFIGS, with(about, "--describe", "--all")), "(?m)^\\s*min\\.insync\\.replicas=2 ");
            has(toolFails(CONFIGS, with(about, "--alter", "--add-config", "broker.id=7")), "(?i)broker\\.id|cannot update");
        });
    }

    private void records() {
        report.run("console", () -> {
            String topic = PREFIX + "-console";
            create(topic, "--partitions", "1", "--replication-factor", "3");
            var lines = new ArrayList<String>();
            for (int i = 0; i < 50; i++) {
                lines.add("key-" + i + ":value of line " + i);
            }
            String[] keys = {"--reader-property", "parse.key=true", "--reader-property", "key.separator=:"};
            toolReads(String.join("\n", lines) + "\n", PRODUCER, with(keys, "--topic", topic, "--compression-codec", "lz4"));
            String[] shown = {"--formatter-property", "print.key=true", "--formatter-property", "key.separator=:"};
            String[] place = {"--topic", topic, "--partition", "0", "--offset", "7", "--max-messages", "43"};
            String read = tool(CONSUMER, with(with(place, shown), "--timeout-ms", "30000"));
            Report.equal(lines.subList(7, 50), all(read, "(?m)^key-.*$").stream().map(MatchResult::group).toList(), "lines");
        });
        report.run("get-offsets", () -> {
            String topic = produced("offsets", 40);
            Report.equal(topic + ":0:40", tool(OFFSETS, "--topic", topic).strip(), "latest");
            Report.equal(topic + ":0:0", tool(OFFSETS, "--topic", topic, "--time", "earliest").strip(), "earliest");
            has(tool(OFFSETS, "--topic", topic, "--time", "max-timestamp"), topic + ":0:\\d+");
            Report.equal(topic + ":0:0", tool(OFFSETS, "--topic", topic, "--time", "1").strip(), "since 1970");
        });
        report.run("delete-records", () -> {
            String topic = produced("deleted-records", 40);
            String asked = "{\"partitions\":[{\"topic\":\"" + topic + "\",\"partition\":0,\"offset\":15}],\"version\":1}";
            has(tool(DELETE_RECORDS, "--offset-json-file", file(asked)), "partition: " + topic + "-0\\s+low_watermark: 15");
            Report.equal(topic + ":0:15", tool(OFFSETS, "--topic", topic, "--time", "earliest").strip(), "earliest");
        });
        report.run("producer-perf-test", () -> {
            String topic = PREFIX + "-performance";
            create(topic, "--partitions", "1", "--replication-factor", "3");
            String[] words = {"--topic", topic, "--num-records", "3000", "--record-size", "500", "--throughput", "-1"};
            String told = run(null, true, PERFORMANCE, with(words, "--producer-props", "bootstrap.servers=" + BOOTSTRAP, "acks=all"));
            has(told, "3000 records sent");
            Report.equal(topic + ":0:3000", tool(OFFSETS, "--topic", topic).strip(), "end");
        });
    }

    private void placement() {
        report.run("leader-election", () -> {
            String topic = PREFIX + "-election";
            create(topic, "--replica-assignment", "1:2:3");
            String partition = "{\"topic\":\"" + topic + "\",\"partition\":0,\"replicas\":[3,1,2],\"log_dirs\":[\"any\",\"any\",\"any\"]}";
            reassign("{\"version\":1,\"partitions\":[" + partition + "]}");
            has(tool(TOPICS, "--describe", "--topic", topic), "Leader: 1\\s+Replicas: 3,1,2");
            String[] about = {"--topic", topic, "--partition", "0", "--election-type", "preferred"};
            has(tool(ELECTION, about), "Successfully completed leader election \\(PREFERRED\\) for partitions " + topic + "-0");
            Report.eventually("broker 3 leads", () -> tool(TOPICS, "--describe", "--topic", topic).contains("Leader: 3"));
            has(tool(ELECTION, about), "Valid replica already elected for partitions " + topic + "-0");
        });
        report.run("reassign-partitions", () -> {
            String topic = PREFIX + "-reassigned";
            create(topic, "--replica-assignment", "1:2,1:2");
            perform(topic, 30);
            String wanted = "{\"version\":1,\"topics\":[{\"topic\":\"" + topic + "\"}]}";
            String proposed = tool(REASSIGN, "--generate", "--topics-to-move-json-file", file(wanted), "--broker-list", "2,3");
            String plan = one(proposed, "(?s)Proposed partition reassignment configuration\\s+(\\{.*\\})").group(1);
            reassign(plan);
            Report.eventually("replicas on 2 and 3 only", () -> {
                String told = tool(TOPICS, "--describe", "--topic", topic);
                return all(told, "Replicas: (2,3|3,2)\\s+Isr: (2,3|3,2)").size() == 2;
            });
            has(tool(REASSIGN, "--list"), "No partition reassignments found");
            long left = all(tool(OFFSETS, "--topic", topic), topic + ":\\d:(\\d+)").stream()
                    .mapToLong(found -> Long.parseLong(found.group(1))).sum();
            Report.equal(30L, left, "records after the move");
        });
    }

    /** Carries a plan out and waits until the tool itself says that it is done. */
    private static void reassign(String plan) throws Exception {
        String file = file(plan);
        has(tool(REASSIGN, "--execute", "--reassignment-json-file", file), "Successfully started partition reassignment");
        Report.eventually("it is verified", () -> {
            String told = tool(REASSIGN, "--verify", "--reassignment-json-file", file);
            return told.contains("is completed") && !told.contains("still in progress");
        });
    }

    private void cluster() {
        report.run("metadata-quorum", () -> {
            String status = tool(QUORUM, "describe", "--status");
            has(status, "LeaderId:\\s+[123]\\s");
            has(status, "HighWatermark:\\s+[1-9]\\d*\\s");
            Report.equal(3, all(one(status, "CurrentVoters:(.*)").group(1), "\"id\": [123]").size(), "voters");
            String replication = tool(QUORUM, "describe", "--replication");
            Report.equal(1, all(replication, "(?m)^[123]\\s.*Leader\\s*$").size(), "leaders");
            Report.equal(2, all(replication, "(?m)^[123]\\s.*Follower\\s*$").size(), "followers");
        });
        report.run("log-dirs", () -> {
            String topic = produced("log-dirs", 20);
            String told = tool(LOG_DIRS, "--describe", "--topic-list", topic);
            Report.equal(3, all(told, "\"partition\":\"" + topic + "-0\",\"size\":[1-9]\\d*").size(), "replicas with records");
        });
        report.run("features", () -> {
            has(tool(FEATURES, "describe"), "Feature: metadata.version\\s+SupportedMinVersion: \\S+\\s+SupportedMaxVersion: 4\\.\\d");
        });
        report.run("broker-api-versions", () -> {
            String told = tool(API_VERSIONS);
            Report.equal(3, all(told, "(?m)^\\S+:\\d+ \\(id: [123] rack: ").size(), "brokers");
            Report.equal(3, all(told, "Produce\\(0\\): (0|3) to \\d+ \\[usable: 1[0-9]\\]").size(), "brokers that take Produce");
        });
        report.run("cluster", () -> {
            has(run(null, true, CLUSTER, with(new String[] {"cluster-id"}, AT_BOOTSTRAP)), "Cluster ID: \\S{22}");
            if (FULL) {
                Report.equal(3, all(run(null, true, CLUSTER, with(new String[] {"list-endpoints"}, AT_BOOTSTRAP)), "(?m)^[123]\\s+127\\.0\\.0\\.1\\s").size(), "endpoints");
            }
        });
        if (FULL) {
            report.run("describe-producers", () -> {
                String topic = produced("producers", 20);
                String told = tool(TRANSACTIONS, "describe-producers", "--topic", topic, "--partition", "0");
                Report.equal(1, all(told, "(?m)^\\d+\\s+\\d+\\s").size(), "producers");
            });
        }
    }
}
