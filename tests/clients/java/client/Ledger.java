import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/**
 * What the members of a group own, have read and know to be committed. A member that gets a partition goes on no sooner than what
 * was known to be committed by then, and then record by record.
 */
final class Ledger {
    /** The place a member may begin at, and what it has to read next once it has begun. */
    private static final class Place {
        final long floor;
        long following = -1;

        Place(long floor) {
            this.floor = floor;
        }
    }

    private final String topic;
    private final Map<Integer, Long> committed = new HashMap<>();
    private final Map<Integer, Map<Long, Integer>> reads = new HashMap<>();
    private final Map<String, Map<Integer, Place>> owned = new TreeMap<>();
    private final Map<String, Integer> assignments = new HashMap<>();
    private String wrong;

    Ledger(String topic) {
        this.topic = topic;
    }

    synchronized void assigned(String member, Collection<Integer> partitions) {
        assignments.merge(member, 1, Integer::sum);
        for (int partition : partitions) {
            // One that was cut off may not know yet that it has lost it.
            if (!Contract.underFire()) {
                owned.forEach((other, places) -> {
                    if (!other.equals(member) && places.containsKey(partition)) {
                        wrong = other + " still owns " + partition + ", which " + member + " gets";
                    }
                });
            }
            owned.computeIfAbsent(member, name -> new TreeMap<>()).put(partition, new Place(committed.getOrDefault(partition, 0L)));
        }
    }

    synchronized void revoked(String member, Collection<Integer> partitions) {
        owned.getOrDefault(member, new TreeMap<>()).keySet().removeAll(partitions);
    }

    synchronized void take(String member, ConsumerRecord<String, String> record) {
        Contract.verify(topic, record);
        reads.computeIfAbsent(record.partition(), partition -> new HashMap<>()).merge(record.offset(), 1, Integer::sum);
        Place place = owned.getOrDefault(member, Map.of()).get(record.partition());
        if (place == null) {
            return;
        }
        if (place.following >= 0) {
            Report.equal(place.following, record.offset(), "what " + member + " reads next of " + record.partition());
        }
        Report.check(record.offset() >= place.floor,
                member + " reads " + record.offset() + " of " + record.partition() + " again, " + place.floor + " was committed");
        place.following = record.offset() + 1;
    }

    synchronized Map<Integer, Long> positions(String member) {
        Map<Integer, Long> found = new TreeMap<>();
        owned.getOrDefault(member, Map.of()).forEach((partition, place) -> {
            if (place.following >= 0) {
                found.put(partition, place.following);
            }
        });
        return found;
    }

    synchronized void acknowledged(Map<Integer, Long> offsets) {
        offsets.forEach((partition, offset) -> committed.merge(partition, offset, Math::max));
    }

    synchronized void gone(String member) {
        owned.remove(member);
    }

    /** Whether exactly these own every partition, each at least one. */
    synchronized boolean split(String... members) {
        List<Integer> all = new ArrayList<>();
        for (String member : members) {
            var places = owned.getOrDefault(member, Map.of()).keySet();
            if (places.isEmpty()) {
                return false;
            }
            all.addAll(places);
        }
        return all.size() == Contract.PARTITIONS && new TreeSet<>(all).equals(Set.of(0, 1, 2));
    }

    synchronized Map<String, Set<Integer>> owners() {
        Map<String, Set<Integer>> found = new TreeMap<>();
        owned.forEach((member, places) -> found.put(member, new TreeSet<>(places.keySet())));
        return found;
    }

    synchronized int assignments(String member) {
        return assignments.getOrDefault(member, 0);
    }

    synchronized long read() {
        return reads.values().stream().mapToLong(Map::size).sum();
    }

    /** How many records were read more than once. */
    synchronized long repeated() {
        return reads.values().stream().flatMap(places -> places.values().stream()).filter(times -> times > 1).count();
    }

    synchronized String wrong() {
        return wrong;
    }
}
