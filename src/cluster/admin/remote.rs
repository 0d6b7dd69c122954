//! [`Ask`] over TCP: any Kafka-compatible cluster, for the command line.
//!
//! Invariants: a request that changes something goes out once; one that only reads is repeated until somebody answers
//! or the time is over; a broker is asked by id only once its address is known.
//!
//! Deliberately not here: connections (`dial`).

use super::Ask;
use crate::client::metadata::Metadata;
use crate::client::{Answer, Call, Machine, Target, Turn};
use crate::cluster::dial::Driver;
use crate::protocol::api::ApiKey;
use crate::protocol::codec::{Request, Response};
use crate::protocol::ids::BrokerId;
use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How long an answer may take, in milliseconds.
const ANSWER_MS: u64 = 15_000;
/// Pause before a question is repeated, in milliseconds.
const RETRY_MS: u64 = 100;
/// How long one command may try again.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the first question is repeated.
const FIRST_TIME: Duration = Duration::from_millis(1_500);
/// The least time left for a single question.
const LEAST_TIME: Duration = Duration::from_secs(3);

/// One question at a time, as a machine for the driver.
#[derive(Default)]
struct Question {
    asked: Option<(Target, Request)>,
    call: u64,
    is_under_way: bool,
    repeats_until_ms: u64,
    not_before_ms: u64,
    outcome: Option<Result<Response, String>>,
    addresses: Vec<(BrokerId, String, u16)>,
    known: BTreeSet<BrokerId>,
    controller: Option<BrokerId>,
}

impl Machine for Question {
    fn turn(&mut self, now_ms: u64) -> Turn {
        let mut turn = Turn { addresses: std::mem::take(&mut self.addresses), ..Turn::default() };
        let Some((to, request)) = self.asked.as_ref().filter(|_| !self.is_under_way) else { return turn };
        if now_ms < self.not_before_ms {
            turn.wake_at_ms = Some(self.not_before_ms);
            return turn;
        }
        self.call += 1;
        self.is_under_way = true;
        let request = request.clone();
        turn.calls.push(Call { id: self.call, to: *to, request, timeout_ms: ANSWER_MS, expects_answer: true });
        turn
    }

    fn answer(&mut self, now_ms: u64, call: u64, answer: Answer) {
        if call != self.call {
            return;
        }
        self.is_under_way = false;
        match answer {
            Answer::Response(response) => {
                let found = Metadata::default().update(&response);
                self.known.extend(found.iter().map(|(broker, ..)| *broker));
                if let Response::Metadata(metadata) = &*response {
                    self.controller = Some(BrokerId(metadata.controller_id.0)).filter(|id| self.known.contains(id));
                }
                self.addresses.extend(found);
                self.asked = None;
                self.outcome = Some(Ok(*response));
            }
            Answer::Failed(_) if now_ms < self.repeats_until_ms => self.not_before_ms = now_ms + RETRY_MS,
            Answer::Failed(reason) => {
                self.asked = None;
                self.outcome = Some(Err(reason));
            }
        }
    }
}

/// Whether a request changes nothing, so that it can be repeated.
fn only_reads(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::Metadata
            | ApiKey::ListOffsets
            | ApiKey::DescribeConfigs
            | ApiKey::DescribeQuorum
            | ApiKey::DescribeCluster
            | ApiKey::ListPartitionReassignments
    )
}

/// A cluster somewhere, asked over TCP.
pub struct Remote {
    driver: Driver<Question>,
    runtime: Runtime,
    began: Instant,
}

impl Remote {
    /// A cluster that is found at `HOST:PORT`, several with commas between. Nothing is connected yet.
    pub fn new(bootstrap: &str, client_id: &str) -> io::Result<Remote> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let driver = Driver::new(Question::default(), bootstrap, client_id);
        Ok(Remote { driver, runtime, began: Instant::now() })
    }

    fn question(&mut self, to: Target, request: Request) -> Result<Response, String> {
        let reads = only_reads(request.api());
        let now_ms = self.driver.now_ms();
        let left = PATIENCE.saturating_sub(self.began.elapsed()).clamp(LEAST_TIME, PATIENCE);
        // Where nobody ever answered there is probably nobody.
        let left = if self.driver.machine.known.is_empty() { FIRST_TIME } else { left };
        let left_ms = u64::try_from(left.as_millis()).expect("seconds");
        let question = &mut self.driver.machine;
        question.repeats_until_ms = if reads { now_ms + left_ms } else { 0 };
        question.not_before_ms = 0;
        question.asked = Some((to, request));
        question.outcome = None;
        let driver = &mut self.driver;
        self.runtime.block_on(async {
            loop {
                driver.step(Duration::from_millis(ANSWER_MS)).await;
                if let Some(outcome) = driver.machine.outcome.take() {
                    return outcome;
                }
            }
        })
    }

    /// Whom a request is for, once it is known where that is.
    fn find(&mut self, to: Target, api: ApiKey) -> Result<Target, String> {
        let changes = to == Target::Any && !only_reads(api);
        let known = &self.driver.machine.known;
        let found = match to {
            Target::Any => !known.is_empty(),
            Target::Broker(broker) | Target::Coordinator(broker) => known.contains(&broker),
        };
        // The controller may have moved since the last time.
        if !found || changes {
            self.question(Target::Any, Metadata::request(Some(&[]), false))?;
        }
        let question = &self.driver.machine;
        match to {
            Target::Broker(broker) | Target::Coordinator(broker) if !question.known.contains(&broker) => {
                Err(format!("there is no broker {broker}, or it is not running"))
            }
            // KRaft's brokers pass changes on to the controller, older ones want them sent there.
            Target::Any if changes => Ok(question.controller.map_or(to, Target::Broker)),
            _ => Ok(to),
        }
    }
}

impl Ask for Remote {
    fn ask(&mut self, to: Target, request: Request) -> Result<Response, String> {
        let to = self.find(to, request.api())?;
        self.question(to, request)
    }

    fn wait(&mut self, pause: Duration) -> bool {
        let time_left = self.began.elapsed() + pause < PATIENCE;
        if time_left {
            std::thread::sleep(pause);
        }
        time_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::command::{Reply, parse_line};
    use crate::protocol::codec;
    use bytes::Bytes;
    use kafka_protocol::messages::api_versions_response::ApiVersion;
    use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
    use kafka_protocol::messages::{ApiVersionsResponse, BrokerId as WireBrokerId, MetadataResponse, TopicName};
    use kafka_protocol::protocol::StrBytes;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// A broker that knows one topic, and answers nothing but ApiVersions and Metadata.
    fn serve(mut stream: TcpStream, port: u16) {
        let mut length = [0_u8; 4];
        while stream.read_exact(&mut length).is_ok() {
            let mut frame = vec![0_u8; usize::try_from(u32::from_be_bytes(length)).expect("small")];
            stream.read_exact(&mut frame).expect("a whole frame");
            let (header, request) = codec::decode_request(Bytes::from(frame)).expect("a request");
            let response = match request {
                Request::ApiVersions(_) => {
                    let api =
                        |api: ApiKey| ApiVersion::default().with_api_key(api.key()).with_max_version(api.max_version());
                    let keys = [ApiKey::ApiVersions, ApiKey::Metadata].map(api).to_vec();
                    Response::ApiVersions(ApiVersionsResponse::default().with_api_keys(keys))
                }
                Request::Metadata(_) => {
                    let broker = MetadataResponseBroker::default()
                        .with_node_id(WireBrokerId(1))
                        .with_host(StrBytes::from_static_str("127.0.0.1"))
                        .with_port(i32::from(port));
                    let name = TopicName(StrBytes::from_static_str("orders"));
                    let topic = MetadataResponseTopic::default().with_name(Some(name));
                    Response::Metadata(MetadataResponse::default().with_brokers(vec![broker]).with_topics(vec![topic]))
                }
                other => panic!("{other:?}"),
            };
            let frame = codec::encode_response(&header, &response).expect("encodes");
            stream.write_all(&frame.to_bytes()).expect("written");
        }
    }

    fn run(line: &str, bootstrap: &str) -> Reply {
        let mut remote = Remote::new(bootstrap, "test").expect("a runtime");
        crate::cluster::admin::run(&parse_line(line).expect("a command"), &mut remote).expect("for any cluster")
    }

    #[test]
    fn a_cluster_far_away_is_asked_over_tcp() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(stream, port));
            }
        });
        let bootstrap = format!("127.0.0.1:{port}");
        assert!(matches!(run("topic list", &bootstrap), Reply::Done { text, .. } if text.contains("orders")));
        let Reply::Failed { reason, .. } = run("config describe broker 7", &bootstrap) else { panic!("done") };
        assert_eq!(reason, "there is no broker 7, or it is not running");
        let Reply::Failed { reason, .. } = run("topic delete orders", &bootstrap) else { panic!("done") };
        assert!(reason.contains("does not serve DeleteTopics"), "{reason}");
    }
}
