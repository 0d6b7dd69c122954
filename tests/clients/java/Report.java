import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;

/** Runs cases and tells of each on a line of its own; `done` at the end says that none is missing. */
final class Report {
    interface Body {
        void run() throws Exception;
    }

    private static final long CONDITION_TIMEOUT_MS = 60_000;
    private final List<String> chosen;
    private boolean failed;

    /** Only the cases named, or all if none is. */
    Report(String[] chosen) {
        this.chosen = List.of(chosen);
    }

    void run(String name, Body body) {
        if (!chosen.isEmpty() && chosen.stream().noneMatch(name::startsWith)) {
            return;
        }
        long begin = System.nanoTime();
        String verdict;
        try {
            body.run();
            verdict = "ok " + name;
        } catch (Throwable error) {
            failed = true;
            error.printStackTrace();
            verdict = "not ok " + name + ": " + String.valueOf(error).replace('\n', ' ');
        }
        System.err.printf("%s took %d ms%n", name, (System.nanoTime() - begin) / 1_000_000);
        System.out.println(verdict);
        System.out.flush();
    }

    void done() {
        System.out.println("done");
        System.out.flush();
        System.exit(failed ? 1 : 0);
    }

    static void equal(Object expected, Object found, String what) {
        if (!Objects.equals(expected, found)) {
            throw new AssertionError(what + ": expected " + expected + ", found " + found);
        }
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    /** Asks again and again until it is so. */
    static void eventually(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + CONDITION_TIMEOUT_MS * 1_000_000;
        while (!condition.call()) {
            check(System.nanoTime() < deadline, "not within " + CONDITION_TIMEOUT_MS + " ms: " + what);
            Thread.sleep(20);
        }
    }
}
