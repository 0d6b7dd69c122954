import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** The Java client: producer, consumer by assignment, groups (`GroupCases`), transactions (`TransactionCases`), Admin. */
public final class ClientCases {
    private final Admin admin = Admin.create(Map.of("bootstrap.servers", Contract.BOOTSTRAP));
    private final Report report;

    private ClientCases(String[] chosen) {
        report = new Report(chosen);
    }

    public static void main(String[] chosen) {
        var cases = new ClientCases(chosen);
        cases.records();
        new GroupCases(cases.admin, cases.report, cases::create).run();
        new TransactionCases(cases.admin, cases.report, cases::create).run();
        if (!Contract.underFire()) {
            cases.topics();
            cases.placement();
            cases.cluster();
        }
        cases.report.done();
    }

    private void records() {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            report.run("produce." + codec, () -> {
                String topic = create("produce-" + codec);
                Contract.verify(topic, Contract.produce(topic, Map.of("compression.type", codec)));
            });
        }
        report.run("idempotent", () -> {
            String topic = create("idempotent");
            long records = Contract.produce(topic, Map.of("enable.idempotence", true, "acks", "all", "batch.size", 200));
            Contract.verify(topic, records);
        });
        if (!Contract.underFire()) {
            for (String acks : List.of("0", "1", "all")) {
                report.run("acks." + acks, () -> {
                    String topic = create("acks-" + acks);
                    Contract.verify(topic, Contract.produce(topic, Map.of("acks", acks, "enable.idempotence", false)));
                });
            }
        }
        report.run("consume.offset", () -> {
            String topic = create("offset");
            long records = Contract.produce(topic, Map.of());
            Contract.verify(topic, records, Map.of(0, 7L, 1, 29L, 2, 0L));
        });
        report.run("consume.timestamp", this::consumeFromTimestamp);
    }

    private void consumeFromTimestamp() throws Exception {
        String topic = create("timestamp");
        // A record a batch, so that a broker that only knows the batches' timestamps has to be right about each.
        long records = Contract.produce(topic, Map.of("batch.size", 1));
        try (var consumer = Contract.consumer()) {
            var partition = new TopicPartition(topic, 1);
            // Partition 1 has the records 1, 4, 7 ...: the first not before record 41 is 43, at offset 14.
            Map<TopicPartition, OffsetAndTimestamp> found = consumer.offsetsForTimes(Map.of(partition, Contract.timestamp(41)));
            Report.equal(14L, found.get(partition).offset(), "offset for the time of record 41");
            Report.equal(Contract.timestamp(43), found.get(partition).timestamp(), "timestamp at offset 14");
            var beyond = consumer.offsetsForTimes(Map.of(partition, Contract.afterAll()));
            Report.equal(null, beyond.get(partition), "offset for a time after every record");
        }
        Contract.verify(topic, records, Map.of(1, 14L));
    }

    private void topics() {
        report.run("topic.create", () -> {
            String topic = create("created");
            TopicDescription description = describe(topic);
            Report.equal(3, description.partitions().size(), "partitions");
            description.partitions().forEach(partition -> {
                Report.equal(Set.of(1, 2, 3), ids(partition.replicas()), "replicas");
                Report.equal(Set.of(1, 2, 3), ids(partition.isr()), "ISR");
                Report.check(partition.leader() != null, "a leader");
            });
            Report.check(admin.listTopics().names().get().contains(topic), "listed");
            fails(TopicExistsException.class, () -> admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get());
        });
        report.run("topic.partitions", () -> {
            String topic = create("grown");
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
            settled(topic, 5);
            fails(InvalidPartitionsException.class,
                    () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get());
        });
        report.run("topic.configs", this::topicConfigs);
        report.run("topic.delete-records", () -> {
            String topic = create("trimmed");
            long records = Contract.produce(topic, Map.of());
            var partition = new TopicPartition(topic, 0);
            var deleted = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(10)));
            Report.equal(10L, deleted.lowWatermarks().get(partition).get().lowWatermark(), "low watermark");
            Report.equal(10L, offset(partition, OffsetSpec.earliest()), "earliest offset");
            Contract.verify(topic, records, Map.of(0, 10L, 1, 0L));
        });
        report.run("topic.offsets", () -> {
            String topic = create("offsets");
            Contract.produce(topic, Map.of());
            var partition = new TopicPartition(topic, 2);
            Report.equal(0L, offset(partition, OffsetSpec.earliest()), "earliest");
            Report.equal(Contract.RECORDS / 3L, offset(partition, OffsetSpec.latest()), "latest");
            Report.equal(Contract.RECORDS / 3L - 1, offset(partition, OffsetSpec.maxTimestamp()), "of the largest timestamp");
            Report.equal(10L, offset(partition, OffsetSpec.forTimestamp(Contract.timestamp(32))), "for a time");
        });
        report.run("topic.producers", () -> {
            String topic = create("producers");
            Contract.produce(topic, Map.of("enable.idempotence", true));
            var partition = new TopicPartition(topic, 0);
            var producers = admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers();
            Report.equal(1, producers.size(), "producers known to the partition");
            Report.equal(Contract.RECORDS / 3 - 1, producers.get(0).lastSequence(), "its last sequence");
        });
        report.run("topic.delete", () -> {
            String topic = create("deleted");
            Contract.produce(topic, Map.of());
            admin.deleteTopics(List.of(topic)).all().get();
            Report.eventually("not listed any more", () -> !admin.listTopics().names().get().contains(topic));
            fails(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(List.of(topic)).all().get());
            // Another topic by the same name knows nothing of the first one's records.
            create("deleted");
            Report.equal(0L, offset(new TopicPartition(topic, 0), OffsetSpec.latest()), "end of the new topic");
        });
    }

    private void topicConfigs() throws Exception {
        String topic = create("configured");
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        alter(resource, "retention.ms", "7200000", AlterConfigOp.OpType.SET);
        Report.eventually("retention.ms is the topic's own", () -> {
            ConfigEntry entry = config(resource).get("retention.ms");
            return entry.value().equals("7200000") && entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG;
        });
        fails(InvalidConfigurationException.class,
                () -> alter(resource, "retention.ms", "long", AlterConfigOp.OpType.SET));
        alter(resource, "cleanup.policy", "compact", AlterConfigOp.OpType.APPEND);
        Report.eventually("cleanup.policy is delete,compact",
                () -> config(resource).get("cleanup.policy").value().equals("delete,compact"));
        alter(resource, "retention.ms", "", AlterConfigOp.OpType.DELETE);
        Report.eventually("retention.ms is the default again", () -> config(resource).get("retention.ms").isDefault());
        var brokers = new ConfigResource(ConfigResource.Type.BROKER, "");
        var broker = new ConfigResource(ConfigResource.Type.BROKER, "2");
        alter(brokers, "message.max.bytes", "2000000", AlterConfigOp.OpType.SET);
        Report.eventually("message.max.bytes is the brokers' default", () -> {
            ConfigEntry entry = config(broker).get("message.max.bytes");
            return entry.value().equals("2000000")
                    && entry.source() == ConfigEntry.ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG;
        });
        alter(brokers, "message.max.bytes", "", AlterConfigOp.OpType.DELETE);
        Report.eventually("message.max.bytes is Kafka's default",
                () -> config(broker).get("message.max.bytes").value().equals("1048588"));
    }

    private void placement() {
        report.run("reassign", () -> {
            String topic = Contract.topic("moved");
            admin.createTopics(List.of(new NewTopic(topic, Map.of(
                    0, List.of(1, 2), 1, List.of(1, 2), 2, List.of(1, 2))))).all().get();
            settled(topic, 3);
            long records = Contract.produce(topic, Map.of());
            var partition = new TopicPartition(topic, 0);
            var target = Optional.of(new NewPartitionReassignment(List.of(3, 2)));
            admin.alterPartitionReassignments(Map.of(partition, target)).all().get();
            Report.eventually("no reassignment is left",
                    () -> admin.listPartitionReassignments(Set.of(partition)).reassignments().get().isEmpty());
            Report.eventually("its replicas are 3, 2", () -> {
                var found = describe(topic).partitions().get(0);
                return found.replicas().stream().map(Node::id).toList().equals(List.of(3, 2))
                        && ids(found.isr()).equals(Set.of(2, 3)) && found.leader() != null && found.leader().id() != 1;
            });
            Contract.verify(topic, records);
        });
        report.run("elect", () -> {
            String topic = Contract.topic("elected");
            admin.createTopics(List.of(new NewTopic(topic, Map.of(
                    0, List.of(1, 2, 3), 1, List.of(1, 2, 3), 2, List.of(1, 2, 3))))).all().get();
            settled(topic, 3);
            var partition = new TopicPartition(topic, 0);
            var target = Optional.of(new NewPartitionReassignment(List.of(2, 1, 3)));
            admin.alterPartitionReassignments(Map.of(partition, target)).all().get();
            Report.eventually("replica 2 is the preferred one",
                    () -> describe(topic).partitions().get(0).replicas().get(0).id() == 2);
            Report.equal(1, describe(topic).partitions().get(0).leader().id(), "leader before the election");
            var elected = admin.electLeaders(ElectionType.PREFERRED, Set.of(partition)).partitions().get();
            Report.equal(Optional.empty(), elected.get(partition), "error of the election");
            Report.eventually("broker 2 leads", () -> describe(topic).partitions().get(0).leader().id() == 2);
            long records = Contract.produce(topic, Map.of());
            Contract.verify(topic, records);
        });
    }

    private void cluster() {
        report.run("cluster.describe", () -> {
            var cluster = admin.describeCluster();
            Report.equal(Set.of(1, 2, 3), ids(cluster.nodes().get()), "brokers");
            Report.check(!cluster.clusterId().get().isEmpty(), "a cluster id");
            Report.check(cluster.controller().get() != null, "a controller");
        });
        report.run("cluster.log-dirs", () -> {
            String topic = create("stored");
            Contract.produce(topic, Map.of());
            var partition = new TopicPartition(topic, 1);
            Report.eventually("every broker holds as much of " + partition, () -> {
                var sizes = new HashSet<Long>();
                for (var folders : admin.describeLogDirs(List.of(1, 2, 3)).allDescriptions().get().values()) {
                    var replica = folders.values().stream().map(folder -> folder.replicaInfos().get(partition));
                    sizes.add(replica.filter(info -> info != null).mapToLong(info -> info.size()).sum());
                }
                return sizes.size() == 1 && !sizes.contains(0L);
            });
        });
        report.run("cluster.quorum", () -> {
            var quorum = admin.describeMetadataQuorum().quorumInfo().get();
            var voters = quorum.voters().stream().map(voter -> voter.replicaId()).toList();
            Report.equal(Set.of(1, 2, 3), new HashSet<>(voters), "voters");
            Report.check(voters.contains(quorum.leaderId()), "the leader votes");
            Report.check(quorum.highWatermark() > 0, "metadata is committed");
        });
        report.run("cluster.features", () -> {
            var features = admin.describeFeatures().featureMetadata().get();
            Report.check(features.supportedFeatures().containsKey("metadata.version"), "metadata.version is supported");
            Report.check(features.finalizedFeatures().containsKey("metadata.version"), "metadata.version is finalized");
        });
    }

    private String create(String name) throws Exception {
        String topic = Contract.topic(name);
        admin.createTopics(List.of(new NewTopic(topic, 3, (short) 3))).all().get();
        settled(topic, 3);
        return topic;
    }

    /** Waits until the partitions have leaders: the answer of the controller can be ahead of the other brokers. */
    private void settled(String topic, int partitions) throws Exception {
        Report.eventually(topic + " has " + partitions + " partitions with leaders", () -> {
            try {
                var found = describe(topic).partitions();
                return found.size() == partitions && found.stream().allMatch(
                        partition -> partition.leader() != null && !partition.leader().isEmpty());
            } catch (ExecutionException error) {
                if (error.getCause() instanceof UnknownTopicOrPartitionException) {
                    return false;
                }
                throw error;
            }
        });
    }

    private TopicDescription describe(String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    }

    private long offset(TopicPartition partition, OffsetSpec which) throws Exception {
        return admin.listOffsets(Map.of(partition, which)).partitionResult(partition).get().offset();
    }

    private Config config(ConfigResource resource) throws Exception {
        return admin.describeConfigs(List.of(resource)).all().get().get(resource);
    }

    private void alter(ConfigResource resource, String name, String value, AlterConfigOp.OpType how) throws Exception {
        var change = new AlterConfigOp(new ConfigEntry(name, value), how);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all().get();
    }

    private static Set<Integer> ids(Collection<Node> nodes) {
        return new HashSet<>(nodes.stream().map(Node::id).toList());
    }

    private static void fails(Class<? extends Exception> expected, Report.Body body) throws Exception {
        try {
            body.run();
        } catch (ExecutionException error) {
            Report.equal(expected, error.getCause().getClass(), "error");
            return;
        }
        throw new AssertionError("nothing was thrown where " + expected.getSimpleName() + " was expected");
    }
}
