import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.apache.kafka.common.utils.Exit;

/** Calls Kafka's command-line tools in this process and gives what they print; who has cases of them extends it. */
abstract class Tools {
    static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
    static final String PREFIX = System.getenv("PREFIX");
    /** How long to write while brokers die; 0 if they do not. */
    static final long FIRE_SECONDS = Long.parseLong(System.getenv("FIRE_SECONDS"));
    static final boolean FULL = !List.of("", "0").contains(System.getenv().getOrDefault("CLIENTS_FULL", ""));
    static final String[] AT_BOOTSTRAP = {"--bootstrap-server", BOOTSTRAP};
    private static final long PROCESS_TIMEOUT_S = 60 + 10 * FIRE_SECONDS;
    static final String TOPICS = "org.apache.kafka.tools.TopicCommand";
    static final String OFFSETS = "org.apache.kafka.tools.GetOffsetShell";
    static final String TRANSACTIONS = "org.apache.kafka.tools.TransactionsCommand";
    static final String PRODUCER = "org.apache.kafka.tools.ConsoleProducer";

    /** A tool wants to end the process. Some catch that too, so the first status and what was printed until then count. */
    private static final class Ended extends RuntimeException {
        private static final long serialVersionUID = 1;

        Ended() {
            super("the tool has ended", null, false, false);
        }
    }

    private static final ByteArrayOutputStream PRINTED = new ByteArrayOutputStream();
    private static final List<Runnable> HOOKS = new ArrayList<>();
    private static Integer status;
    private static String told;

    private static void end(int wanted) {
        if (status == null) {
            status = wanted;
            told = PRINTED.toString(StandardCharsets.UTF_8);
        }
        throw new Ended();
    }

    static void catchExits() {
        Exit.setExitProcedure((wanted, message) -> end(wanted));
        Exit.setHaltProcedure((wanted, message) -> end(wanted));
        // The console producer sends its last records in a hook.
        Exit.setShutdownHookAdder((name, hook) -> HOOKS.add(hook));
    }

    static String create(String topic, String... words) throws Exception {
        String told = tool(TOPICS, with(words, "--create", "--topic", topic));
        Report.eventually("every partition has a leader", () -> {
            String described = tool(TOPICS, "--describe", "--topic", topic);
            return described.contains("Leader: ") && !described.contains("Leader: none");
        });
        return told;
    }

    /** A topic of one partition with so many records. */
    static String produced(String name, int records) throws Exception {
        String topic = PREFIX + "-" + name;
        create(topic, "--partitions", "1", "--replication-factor", "3");
        perform(topic, records);
        return topic;
    }

    static void perform(String topic, int records) throws Exception {
        toolReads("one line\n".repeat(records), PRODUCER, "--topic", topic);
    }

    static String tool(String main, String... words) throws Exception {
        return run(null, true, main, with(AT_BOOTSTRAP, words));
    }

    static String toolReads(String input, String main, String... words) throws Exception {
        return run(input, true, main, with(AT_BOOTSTRAP, words));
    }

    static String toolFails(String main, String... words) throws Exception {
        return run(null, false, main, with(AT_BOOTSTRAP, words));
    }

    /** Calls a tool's main and gives all it prints; `well` is whether it has to end well, if that is asked. */
    static String run(String input, Boolean well, String main, String... words) throws Exception {
        var out = System.out;
        var err = System.err;
        var in = System.in;
        var stream = new PrintStream(PRINTED, true, StandardCharsets.UTF_8);
        PRINTED.reset();
        status = null;
        try {
            System.setOut(stream);
            System.setErr(stream);
            System.setIn(new ByteArrayInputStream((input == null ? "" : input).getBytes(StandardCharsets.UTF_8)));
            Class.forName(main).getMethod("main", String[].class).invoke(null, (Object) words);
        } catch (java.lang.reflect.InvocationTargetException error) {
            if (!(error.getCause() instanceof Ended)) {
                throw new AssertionError(main + " threw " + error.getCause(), error.getCause());
            }
        } finally {
            HOOKS.forEach(Runnable::run);
            HOOKS.clear();
            System.setOut(out);
            System.setErr(err);
            System.setIn(in);
        }
        if (status == null) {
            status = 0;
            told = PRINTED.toString(StandardCharsets.UTF_8);
        }
        System.err.printf("$ %s %s%n%s= %d%n", main, String.join(" ", words), told, status);
        Report.check(well == null || (status == 0) == well, main + " " + String.join(" ", words) + " ended with " + status + ": " + told);
        return told;
    }

    /** Runs a tool in a process of its own, for what it prints when that ends. */
    static String process(String main, String... words) throws Exception {
        var command = new ArrayList<>(List.of(ProcessHandle.current().info().command().orElse("java"), "-Xmx128m"));
        command.addAll(List.of("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", System.getProperty("java.class.path"), main));
        command.addAll(List.of(with(AT_BOOTSTRAP, words)));
        Path printed = Files.createTempFile("kafkarium-clients", ".txt");
        var process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(printed.toFile()).start();
        boolean ended = process.waitFor(PROCESS_TIMEOUT_S, TimeUnit.SECONDS);
        process.destroyForcibly();
        String told = Files.readString(printed);
        Files.delete(printed);
        System.err.printf("$ %s%n%s= %s%n", String.join(" ", command), told, ended ? process.exitValue() : "still running");
        Report.check(ended && process.exitValue() == 0, main + " " + String.join(" ", words) + " did not end well: " + told);
        return told;
    }

    static String[] with(String[] words, String... more) {
        var all = new ArrayList<>(List.of(words));
        all.addAll(List.of(more));
        return all.toArray(String[]::new);
    }

    static String file(String text) throws Exception {
        Path path = Files.createTempFile("kafkarium-clients", ".json");
        path.toFile().deleteOnExit();
        return Files.writeString(path, text).toString();
    }

    static List<MatchResult> all(String text, String pattern) {
        return Pattern.compile(pattern).matcher(text).results().toList();
    }

    static MatchResult one(String text, String pattern) {
        var found = all(text, pattern);
        Report.check(found.size() == 1, "`" + pattern + "` is in it " + found.size() + " times, not once: " + text);
        return found.get(0);
    }

    static void has(String text, String pattern) {
        Report.check(!all(text, pattern).isEmpty(), "`" + pattern + "` is not in it: " + text);
    }
}
