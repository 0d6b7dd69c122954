//! The texts of the language: for every verb a consequence, an example and what to see as well, beside the summary and
//! the arguments that stand in the grammar. `?`, `--help`, the manual page and the palette are made from here.
//!
//! Invariants: every verb of the grammar has a text and every text a verb (tested); every example parses to its verb.
//!
//! Deliberately not here: what a command would do to the cluster as it is now (the host's `consequence`).

use super::Command;
use crate::cluster::view::{ArgumentDoc, CommandDoc};
use clap::Subcommand;

/// What the grammar does not say about a verb.
struct Text {
    /// The words of the verb.
    name: &'static str,
    /// What it does to a cluster, in a sentence or two.
    consequence: &'static str,
    /// Lines that work, the best first.
    examples: &'static [&'static str],
    /// Verbs to see as well.
    see_also: &'static [&'static str],
}

const fn text(
    name: &'static str,
    consequence: &'static str,
    examples: &'static [&'static str],
    see_also: &'static [&'static str],
) -> Text {
    Text { name, consequence, examples, see_also }
}

/// One row a verb, in the order of the manual.
const TEXTS: &[Text] = &[
    text(
        "stop",
        "Its leaders move first and its log is flushed: nothing is lost and clients hardly notice.",
        &["stop 2", "stop leader of orders-0"],
        &["kill", "start", "restart"],
    ),
    text(
        "kill",
        "Its connections reset at once; its partitions elect new leaders. What it had appended is still \
         on its disk when it starts again; records it alone had, acknowledged with acks=1, may be lost.",
        &["kill 2", "kill leader of orders-0", "kill controller"],
        &["start", "powerloss", "suspend"],
    ),
    text(
        "powerloss",
        "Its peers and clients hear nothing more and run into their own timeouts. What was not synced \
         to its disk is gone.",
        &["powerloss 2"],
        &["kill", "start"],
    ),
    text(
        "wipe",
        "Its log and its directory id are new: it copies every partition again. Refused while too few \
         intact voters would remain.",
        &["wipe 3"],
        &["powerloss", "broker remove"],
    ),
    text(
        "suspend",
        "It stops answering but does not know it: after the session timeout the others go on without \
         it, and when it is resumed it believes for a moment to be what it was.",
        &["suspend 2", "suspend controller"],
        &["resume", "kill"],
    ),
    text(
        "resume",
        "It finds that time has passed, learns of the new leaders, truncates what it alone had and \
         follows.",
        &["resume 2"],
        &["suspend"],
    ),
    text(
        "start",
        "It recovers its log, registers with the controller, catches up and is taken into the ISR \
         again. Done when it answers on its port and is unfenced.",
        &["start 2", "start killed"],
        &["restart", "kill"],
    ),
    text(
        "restart",
        "One broker after the other goes down in order and comes back: a rolling restart.",
        &["restart 2", "restart 1 2 3", "restart killed"],
        &["stop", "start"],
    ),
    text(
        "broker add",
        "A broker with the next free id and port joins, empty: partitions come to it only by `reassign` \
         or `topic create`.",
        &["broker add"],
        &["broker remove", "reassign start"],
    ),
    text(
        "broker remove",
        "It is shut down, unregistered and its data deleted. Refused while it holds the only copy of a \
         partition.",
        &["broker remove 4"],
        &["reassign start", "wipe"],
    ),
    text("broker list", "Changes nothing.", &["broker list"], &["quorum describe"]),
    text(
        "pause",
        "Every broker stands still; sockets stay open and unread. What has to wait fails with `paused`.",
        &["pause"],
        &["run", "speed"],
    ),
    text(
        "run",
        "Time goes on where it stopped: no session expires for the pause. A simulated world stands still again after the \
         time given, or as soon as what is waited for is true.",
        &["run", "run 5s", "run until leader orders-0 != 1"],
        &["pause", "speed", "step"],
    ),
    text(
        "step",
        "The next happening of the simulated world happens (a message arrives, a timer is over, a write is on the disk), and time \
         stands still again. Back: the world is as it was before it. With `--message` everything happens up to the next message \
         that arrives, heartbeats and empty fetches not counted.",
        &["step", "step 100", "step --back", "step --message", "step --message 'produce 2'"],
        &["rewind", "run"],
    ),
    text(
        "rewind",
        "The simulated world is what it was then, to the byte, and stands still. Run on, it comes to the same again; a command \
         given now begins another line of history.",
        &["rewind 5s", "rewind --to 12s", "rewind --violation", "rewind --end"],
        &["step", "branch", "run"],
    ),
    text(
        "branch",
        "What came after this moment is forgotten: the same faults come, commands that were given later do not.",
        &["branch"],
        &["rewind", "step"],
    ),
    text(
        "speed",
        "The brokers' own timers run so much slower; waits that clients asked for and timestamps of \
         records do not.",
        &["speed 0.1", "speed 1"],
        &["pause", "run"],
    ),
    text(
        "link cut",
        "What is sent over it is lost in silence: each side waits for its own timeout. Cut off from a \
         majority, a broker is fenced and its partitions elect new leaders. Connections of clients stay open and \
         say nothing; healed, they go on where they were.",
        &["link cut 1 2", "link cut 1 to 2", "link cut 1 2,3", "link cut 1 clients", "link cut 1 2,3,clients"],
        &["link heal", "heal", "link lose"],
    ),
    text(
        "link delay",
        "Replication over it takes longer, and so does every produce with acks=all that waits for it. \
         Beyond the lag time the follower leaves the ISR. Clients wait so much longer for each answer, and once more \
         for their question.",
        &["link delay 1 2 200ms", "link delay 1 2 50ms --jitter 30ms", "link delay 1 clients 100ms"],
        &["link heal", "link throttle"],
    ),
    text(
        "link lose",
        "Lost messages are asked for again after a timeout; a share that is too high looks like a cut. A client's \
         connection sends again by itself what was lost, 200 ms later and more: its messages are late.",
        &["link lose 1 2 20%", "link lose clients to 1 5%"],
        &["link cut", "drop next", "link heal"],
    ),
    text(
        "link hold",
        "Messages pile up, none is lost: the receiver sees silence until they are released.",
        &["link hold 1 to 2"],
        &["link release"],
    ),
    text(
        "link release",
        "What was held back arrives at once, in order, however stale it is.",
        &["link release 1 to 2"],
        &["link hold"],
    ),
    text(
        "link throttle",
        "A follower that cannot keep up at that throughput falls behind and leaves the ISR. A broker's clients share \
         what they are given.",
        &["link throttle 1 2 64KiB/s", "link throttle 1 clients 1MiB/s"],
        &["link heal", "link delay"],
    ),
    text(
        "link heal",
        "The link is as good as new; followers catch up and return to the ISR.",
        &["link heal 1 2", "link heal 1 clients"],
        &["heal", "undo"],
    ),
    text(
        "drop next",
        "A dropped request never happened. A dropped response did: its sender tries again, and only an \
         idempotent producer writes nothing twice.",
        &[
            "drop next response of Produce",
            "drop next request of AlterPartition --count 3",
            "drop next response of Produce --broker 2",
        ],
        &["link lose"],
    ),
    text(
        "message deliver",
        "It arrives now, and what was sent before it on its connection too. The Wire screen shows the messages and their numbers.",
        &["message deliver 4711"],
        &["message delay", "step"],
    ),
    text(
        "message drop",
        "It never arrives: whoever waits for it waits for its own timeout. A dropped request never happened; a dropped answer did.",
        &["message drop 4711"],
        &["drop next", "message delay"],
    ),
    text(
        "message delay",
        "It arrives so much later, and nothing that is sent after it on its connection overtakes it.",
        &["message delay 4711 120ms"],
        &["link delay", "message deliver"],
    ),
    text(
        "break",
        "Time stands still as soon as somebody sends such a message, a request or an answer, before it arrives.",
        &["break AlterPartition", "break Produce --off", "break --off"],
        &["step", "run", "pause"],
    ),
    text(
        "disk slow",
        "Every append waits so long, and so does every acknowledgement that needs it.",
        &["disk slow 2 50ms", "disk slow leader of orders-0 200ms"],
        &["disk heal", "disk full", "disk fail"],
    ),
    text(
        "disk full",
        "Every write fails: the broker takes its log directory offline, as Kafka's does, and its \
         partitions move.",
        &["disk full 2"],
        &["disk heal"],
    ),
    text(
        "disk fail",
        "The disk answers every read and write with an error: the broker takes its log directory offline, as Kafka's \
         does, its partitions move, and it cannot start until the disk is healed.",
        &["disk fail 2"],
        &["disk heal"],
    ),
    text(
        "disk corrupt",
        "The batch's CRC no longer fits. The next read of it is refused, and the broker takes its log \
         directory offline, as Kafka's does when the disk fails it; wipe and start bring a copy from \
         another replica. What is not flushed yet is damaged in the journal, and cut at the next start. A broker \
         that is down has its journal's end damaged, or, if nothing is in it, the largest partition's last batch.",
        &["disk corrupt 2", "disk corrupt 2 --partition orders-0 --offset 120"],
        &["wipe"],
    ),
    text(
        "disk heal",
        "The disk is fast, answers and has space again. What is corrupt stays corrupt; a broker that is down stays down.",
        &["disk heal 2"],
        &["heal"],
    ),
    text(
        "clock skew",
        "Timestamps that it stamps itself and retention by time go wrong; elections and sessions do \
         not, they use no wall clock.",
        &["clock skew 2 +5s", "clock skew 2 -500ms", "clock skew 2 +0s"],
        &["heal"],
    ),
    text(
        "heal",
        "Links, disks and clocks are well again. Brokers that are down stay down.",
        &["heal"],
        &["undo", "start"],
    ),
    text(
        "undo",
        "The last fault or intervention that has an opposite is taken back, told by its own line.",
        &["undo"],
        &["heal"],
    ),
    text("topic list", "Changes nothing.", &["topic list", "topic ls --internal"], &["topic describe"]),
    text(
        "topic describe",
        "Changes nothing.",
        &["topic describe orders", "topic describe orders-0"],
        &["config describe", "topic list"],
    ),
    text(
        "topic create",
        "The controller places its replicas and elects its leaders. Done when every broker that holds a \
         replica knows of it.",
        &[
            "topic create orders --partitions 6 --replicas 3",
            "topic create orders --assignment 1:2:3,2:3:1",
            "topic create orders --partitions 1 --replicas 3 --config min.insync.replicas=2",
        ],
        &["topic alter", "topic delete"],
    ),
    text(
        "topic alter",
        "More partitions send keys elsewhere: the order of a key holds only within a partition. \
         Partitions can't be taken away.",
        &["topic alter orders --partitions 12", "topic alter orders --config retention.ms=60000"],
        &["config alter"],
    ),
    text(
        "topic delete",
        "Its records are gone on every broker. Under the same name another topic can be made, with \
         another id.",
        &["topic delete orders"],
        &["topic delete-records"],
    ),
    text(
        "topic delete-records",
        "The log's start moves up on every replica. A consumer behind it is out of range.",
        &["topic delete-records orders-0 --before 1000", "topic delete-records orders-0"],
        &["topic delete"],
    ),
    text(
        "config describe",
        "Changes nothing.",
        &["config describe topic orders", "config describe broker 2 --all", "config describe brokers"],
        &["config alter"],
    ),
    text(
        "config alter",
        "Every broker takes it over at once, through the metadata log. Settings that need a restart are \
         refused.",
        &["config alter topic orders --set retention.ms=60000", "config alter brokers --delete log.retention.ms"],
        &["config describe"],
    ),
    text(
        "reassign start",
        "New replicas copy the log, are taken into the ISR, then the old ones are dropped: until then \
         there are more copies than usual.",
        &["reassign start orders-0 --to 2,3,1", "reassign start orders-0 orders-1 --to 4,5,6"],
        &["reassign list", "reassign cancel", "elect preferred"],
    ),
    text("reassign list", "Changes nothing.", &["reassign list"], &["reassign start"]),
    text(
        "reassign cancel",
        "Replicas that were being added are dropped; the old ones stay.",
        &["reassign cancel orders-0"],
        &["reassign start"],
    ),
    text(
        "elect preferred",
        "The first replica of each leads again, if it is in sync; clients are sent there with one \
         retry.",
        &["elect preferred", "elect preferred orders-0"],
        &["elect unclean"],
    ),
    text(
        "elect unclean",
        "The partition can be written again, at a price: what only the last in-sync replicas had is \
         lost.",
        &["elect unclean orders-0"],
        &["elect preferred"],
    ),
    text(
        "elect align",
        "With no controller they stand at the same moment, each votes for itself and nobody wins: a split vote, after which each \
         waits a random time. A controller that is heard from before moves its followers' timers on. Only in a simulated world.",
        &["elect align"],
        &["quorum describe", "kill"],
    ),
    text("group list", "Changes nothing.", &["group list"], &["group describe"]),
    text("group describe", "Changes nothing.", &["group describe orders-app"], &["group list", "group reset"]),
    text(
        "group reset",
        "Shows where each partition stands and would stand. With --execute its readers go on there: records between \
         come again, or never. Refused while the group has members.",
        &["group reset orders-app orders --to earliest", "group reset orders-app orders --to -100 --execute"],
        &["group describe"],
    ),
    text(
        "group delete",
        "Its committed offsets are gone: whoever joins next begins where its reset says. Refused while it has members.",
        &["group delete orders-app"],
        &["group reset"],
    ),
    text("transaction list", "Changes nothing.", &["transaction list"], &["transaction describe"]),
    text("transaction describe", "Changes nothing.", &["transaction describe payments"], &["transaction abort"]),
    text(
        "transaction abort",
        "Readers of committed records skip what it wrote. Its producer is fenced: what it sends after that is refused.",
        &["transaction abort payments", "transaction abort --partition orders-0 --start-offset 120"],
        &["transaction describe"],
    ),
    text("quorum describe", "Changes nothing.", &["quorum describe"], &["broker list"]),
    text(
        "produce",
        "Records go to the leaders over TCP like any client's. With a rate the load stays, and its \
         ledger counts what was acknowledged, lost and duplicated.",
        &[
            "produce orders --value hello",
            "produce orders --rate 50/s --acks all",
            "produce orders --key user-%n --count 100",
            "produce orders --key alice --tombstone",
            "produce stop",
        ],
        &["consume", "expect"],
    ),
    text("produce stop", "The load ends; its ledger stays.", &["produce stop", "produce stop orders"], &["produce"]),
    text(
        "consume",
        "Reads over TCP like any consumer. With --group it is a member, which shares the partitions with the others \
         and commits what it has shown; without, nothing is committed anywhere.",
        &[
            "consume orders --from earliest --max 10",
            "consume orders --from -10 --follow",
            "consume orders --partition 0 --from 5m",
            "consume orders --group billing --max 10",
            "consume orders --group billing --name worker-1",
            "consume orders --group billing --name worker-2 --rate 5/s",
        ],
        &["produce", "group describe", "consume stop"],
    ),
    text(
        "consume stop",
        "It commits what it has processed and leaves its group: the others get its partitions at once.",
        &["consume stop worker-1", "consume stop"],
        &["consume", "consume kill"],
    ),
    text(
        "consume kill",
        "Nobody is told: its partitions wait for the session timeout, and what it had processed and not committed is read \
         again by whoever gets them.",
        &["consume kill worker-1"],
        &["consume stop", "consume pause"],
    ),
    text(
        "consume pause",
        "Beyond the session timeout its group goes on without it. When it is resumed it learns that its partitions are \
         others', and joins again.",
        &["consume pause worker-1"],
        &["consume resume", "consume slow"],
    ),
    text("consume resume", "It reads on, and its lag shrinks.", &["consume resume worker-1"], &["consume pause"]),
    text(
        "consume slow",
        "It stays in its group, and its lag grows as long as more is written than it processes.",
        &["consume slow worker-1 5/s"],
        &["consume resume", "consume pause"],
    ),
    text(
        "demo",
        "Topics clicks, orders and payments are made where they are missing, a few hundred records a second go into them, \
         and the two members of the group orders-app read them. The ledger follows every record.",
        &["demo"],
        &["produce", "produce stop"],
    ),
    text(
        "wait",
        "Nothing happens until it is true; when the time is over before, it fails and says what was \
         seen.",
        &["wait isr orders-0 = 1,2,3 --within 5s", "wait leader orders-0 != none --within 10s", "wait alive = 3"],
        &["expect"],
    ),
    text(
        "expect",
        "Fails if it is not true now, and says what was seen.",
        &[
            "expect lost = 0",
            "expect leader orders-0 = 2",
            "expect lag orders-app < 10",
            "expect members orders-app = 2",
        ],
        &["wait"],
    ),
    text("theme", "Only the console's colours change.", &["theme high-contrast"], &["mouse"]),
    text(
        "mouse",
        "Off, the terminal selects text as usual; on, the console takes clicks and the wheel.",
        &["mouse off"],
        &["theme"],
    ),
    text("screenshot", "Writes a file; changes nothing.", &["screenshot cluster.svg"], &["theme"]),
    text("quit", "The console ends and every broker it hosts is stopped in order.", &["quit"], &["stop"]),
];

fn text_of(name: &str) -> Option<&'static Text> {
    TEXTS.iter().find(|text| text.name == name)
}

/// The grammar as clap has it, texts included, without a binary's name.
pub fn grammar() -> clap::Command {
    let command = clap::Command::new("kafkarium ctl")
        .no_binary_name(true)
        .subcommand_required(true)
        .disable_help_flag(false)
        .color(clap::ColorChoice::Never);
    document(Command::augment_subcommands(command))
}

/// Adds consequence and examples to the help of every verb below `command`: for a tree that holds the language
/// somewhere.
pub fn document(command: clap::Command) -> clap::Command {
    document_below(command, "")
}

fn document_below(command: clap::Command, path: &str) -> clap::Command {
    command.mut_subcommands(|verb| {
        let name = if path.is_empty() { verb.get_name().to_owned() } else { format!("{path} {}", verb.get_name()) };
        let verb = match text_of(&name) {
            Some(text) => {
                let examples = text.examples.iter().map(|line| format!("\n  {line}")).collect::<String>();
                let title = if text.examples.len() == 1 { "Example" } else { "Examples" };
                verb.after_help(format!("{}\n\n{title}:{examples}", text.consequence))
            }
            None => verb,
        };
        document_below(verb, &name)
    })
}

/// The names of all verbs, in the grammar's order: `kill`, `topic create`.
pub(super) fn documented(grammar: &clap::Command) -> Vec<String> {
    let mut names = Vec::new();
    walk(grammar, "", &mut |name, _| names.push(name.to_owned()));
    names
}

/// Visits every verb that can be said by itself: leaves, and verbs that take arguments beside further verbs
/// (`produce`).
fn walk(command: &clap::Command, path: &str, visit: &mut impl FnMut(&str, &clap::Command)) {
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let name = if path.is_empty() { verb.get_name().to_owned() } else { format!("{path} {}", verb.get_name()) };
        if !verb.has_subcommands() || verb.get_positionals().next().is_some() {
            visit(&name, verb);
        }
        walk(verb, &name, visit);
    }
}

/// Every verb with its texts, in the order of the manual.
pub fn catalogue() -> Vec<CommandDoc> {
    let grammar = grammar();
    let mut docs = Vec::new();
    walk(&grammar, "", &mut |name, verb| docs.push(doc(name, verb)));
    docs.sort_by_key(|doc| TEXTS.iter().position(|text| text.name == doc.name));
    docs
}

fn doc(name: &str, verb: &clap::Command) -> CommandDoc {
    let text = text_of(name);
    let arguments = verb.get_arguments().filter(|argument| !argument.is_hide_set() && argument.get_id() != "help");
    let example = text.and_then(|text| text.examples.first()).copied().unwrap_or_default();
    let mut long = text.map(|text| text.consequence.to_owned()).unwrap_or_default();
    for line in text.map_or(&[][..], |text| text.examples).iter().skip(1) {
        long.push_str("\n\n");
        long.push_str(line);
    }
    CommandDoc {
        name: name.to_owned(),
        usage: usage(name, verb),
        summary: verb.get_about().map(ToString::to_string).unwrap_or_default(),
        long,
        example: example.to_owned(),
        see_also: text.map_or(&[][..], |text| text.see_also).iter().map(|name| (*name).to_owned()).collect(),
        arguments: arguments.map(argument_doc).collect(),
        destructive: example.parse::<Command>().is_ok_and(|command| command.is_destructive()),
    }
}

/// `topic create TOPIC [--partitions N]`, shorter than clap's.
fn usage(name: &str, verb: &clap::Command) -> String {
    let mut usage = name.to_owned();
    let arguments = || verb.get_arguments().filter(|argument| argument.get_id() != "help");
    for argument in arguments().filter(|argument| argument.is_positional()) {
        let value = value_name(argument);
        usage.push_str(&if argument.is_required_set() { format!(" {value}") } else { format!(" [{value}]") });
    }
    for argument in arguments().filter(|argument| !argument.is_positional()) {
        let flag = argument_name(argument);
        let flag = if argument.get_action().takes_values() { format!("{flag} {}", value_name(argument)) } else { flag };
        usage.push_str(&if argument.is_required_set() { format!(" {flag}") } else { format!(" [{flag}]") });
    }
    usage
}

fn value_name(argument: &clap::Arg) -> String {
    match argument.get_value_names() {
        Some([name, ..]) => name.to_string(),
        _ => argument.get_id().as_str().to_uppercase(),
    }
}

fn argument_name(argument: &clap::Arg) -> String {
    argument.get_long().map_or_else(|| value_name(argument), |long| format!("--{long}"))
}

fn argument_doc(argument: &clap::Arg) -> ArgumentDoc {
    let mut help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    if let [default, ..] = argument.get_default_values() {
        help.push_str(&format!(" (else {})", default.to_string_lossy()));
    }
    ArgumentDoc { name: argument_name(argument), help }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_text_and_every_text_a_verb() {
        let mut verbs = documented(&grammar());
        let mut texts: Vec<String> = TEXTS.iter().map(|text| text.name.to_owned()).collect();
        verbs.sort();
        texts.sort();
        assert_eq!(verbs, texts);
    }

    #[test]
    fn every_example_is_of_its_verb_and_every_reference_exists() {
        for text in TEXTS {
            for example in text.examples {
                let command: Command = example.parse().unwrap_or_else(|error| panic!("{example}: {error}"));
                let stem = if *example == "topic ls --internal" { "topic list" } else { text.name };
                assert!(command.to_string().starts_with(stem), "{example} is not of `{}` but `{command}`", text.name);
            }
            for name in text.see_also {
                assert!(text_of(name).is_some(), "`{}` refers to `{name}`", text.name);
            }
        }
    }

    #[test]
    fn docs_are_complete() {
        for doc in catalogue() {
            assert!(!doc.summary.is_empty() && !doc.long.is_empty() && !doc.example.is_empty(), "{}", doc.name);
            assert!(doc.usage.starts_with(&doc.name), "{}", doc.usage);
            for argument in &doc.arguments {
                assert!(!argument.help.is_empty(), "{} {}", doc.name, argument.name);
            }
        }
    }

    #[test]
    fn usages_read_well() {
        let docs = catalogue();
        let usage =
            |name: &str| docs.iter().find(|doc| doc.name == name).map(|doc| doc.usage.clone()).unwrap_or_default();
        assert_eq!(usage("kill"), "kill WHO");
        assert_eq!(usage("link delay"), "link delay LINK DURATION [--jitter DURATION]");
        assert_eq!(usage("wait"), "wait PREDICATE [--within DURATION]");
        assert_eq!(usage("reassign start"), "reassign start PARTITION --to IDS");
    }
}
