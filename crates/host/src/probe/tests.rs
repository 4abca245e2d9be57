//! Against real listeners on the loopback.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::{Arc, mpsc},
};

use model::{
    VirtualHostName,
    config::probe::{ExecProbe, HttpProbe, Pattern, ProbeKind, ProcessProbe, PushProbe, TcpProbe},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use super::*;

/// Longer than any test; a test that waits so long has failed.
const LONG: Duration = Duration::from_secs(20);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn order(to: SocketAddr, kind: ProbeKind) -> ProbeOrder {
    let (interval, timeout) = (Duration::from_millis(50), Duration::from_secs(5));
    ProbeOrder { target: to.ip(), port: Some(to.port()), kind, interval, timeout }
}

fn monitor(name: &str) -> MonitorId {
    MonitorId::of_host(&VirtualHostName::new("virtual1"), &name.into())
}

fn http(body: Option<&str>) -> HttpProbe {
    HttpProbe { path: "/health?full".into(), body: body.map(Into::into), ..HttpProbe::default() }
}

fn tcp() -> ProbeKind {
    ProbeKind::Tcp(TcpProbe::default())
}

/// Says something, and so has a conversation to end.
fn talking() -> ProbeKind {
    ProbeKind::Tcp(TcpProbe { send: Some("QUIT\r\n".into()), ..TcpProbe::default() })
}

fn channel() -> (Sink, mpsc::Receiver<(MonitorId, ProbeResult)>) {
    let (sender, receiver) = mpsc::channel();
    let sink: Sink = Arc::new(move |report| match report {
        Report::Probes(results) => results.into_iter().for_each(|(monitor, result, took)| {
            assert!(took.is_none_or(|took| took < LONG));
            sender.send((monitor, result)).unwrap_or(());
        }),
        other => unreachable!("{other:?}"),
    });
    (sink, receiver)
}

fn failure(reason: &str) -> ProbeResult {
    ProbeResult::Failure(reason.into())
}

/// One attempt against a server that answers each connection with `answer`, after it has read a request's head.
fn ask(probe: HttpProbe, answer: impl AsRef<[u8]> + Send + 'static) -> (ProbeResult, String) {
    runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let order = order(listener.local_addr().unwrap(), ProbeKind::Http(probe));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            // The probe may have what it wants before all is sent.
            let _ = stream.write_all(answer.as_ref()).await;
            String::from_utf8(request).unwrap()
        });
        let Ended { result, farewell: leftover } = attempt(&order, &mut Kept::default()).await;
        farewell(leftover).await;
        (result, server.await.unwrap())
    })
}

#[test]
fn an_http_request_is_polite() {
    let (result, request) = ask(http(None), "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(result, ProbeResult::Success);
    let mut lines = request.lines();
    assert_eq!(lines.next(), Some("GET /health?full HTTP/1.1"));
    let headers: Vec<&str> = lines.filter(|line| !line.starts_with("host: 127.0.0.1:")).collect();
    assert_eq!(headers, ["user-agent: standin", "connection: close", ""]);
    let named = HttpProbe { host: Some("www.example.test".into()), ..http(None) };
    let (_, request) = ask(named, "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(request.contains("\r\nhost: www.example.test\r\n"), "{request}");
}

#[test]
fn the_status_must_be_one_of_those_expected() {
    let (result, _) = ask(http(None), "HTTP/1.1 503 Oops\r\ncontent-length: 3\r\n\r\nno!");
    assert_eq!(result, failure("status 503, expected 200-399"));
    let picky = HttpProbe { status: vec![(200, 200), (301, 302)], ..http(None) };
    let (result, _) = ask(picky, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(result, failure("status 204, expected 200, 301-302"));
    assert_eq!(ask(http(None), "HTTP/1.1 399 Strange\r\n\r\n").0, ProbeResult::Success);
}

#[test]
fn the_body_must_contain_the_text_within_64_kib() {
    let answer = |body: &str| format!("HTTP/1.1 200 OK\r\n\r\n{body}");
    assert_eq!(ask(http(Some("all \"ok\"")), answer("it is all \"ok\" here")).0, ProbeResult::Success);
    assert_eq!(ask(http(Some("ok")), answer("ko")).0, failure("body lacks \"ok\""));
    assert_eq!(ask(http(Some("ok")), answer("")).0, failure("body lacks \"ok\""));
    let late = |space: usize| answer(&("-".repeat(space) + "ok"));
    assert_eq!(ask(http(Some("ok")), late(65534)).0, ProbeResult::Success);
    assert_eq!(ask(http(Some("ok")), late(65535)).0, failure("body lacks \"ok\""));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n";
    assert_eq!(ask(http(Some("ok")), chunked).0, ProbeResult::Success, "across two chunks");
}

#[test]
fn broken_answers_are_named() {
    assert_eq!(ask(http(None), "").0, failure("connection closed before the answer was complete"));
    assert_eq!(ask(http(None), "HTTP/1.1 200").0, failure("connection closed before the answer was complete"));
    assert_eq!(ask(http(None), "SSH-2.0-OpenSSH_9.2\r\n").0, failure("the answer is not HTTP"));
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\no";
    assert_eq!(ask(http(Some("ok")), cut).0, failure("connection closed before the answer was complete"));
}

#[test]
fn who_speaks_before_it_is_asked_does_not_speak_http() {
    let result = runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let order = order(listener.local_addr().unwrap(), ProbeKind::Http(http(None)));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
            let _gone = stream.read(&mut [0; 4096]).await;
        });
        let result = attempt(&order, &mut Kept::default()).await.result;
        server.await.unwrap();
        result
    });
    assert_eq!(result, failure("the answer is not HTTP"));
}

#[test]
fn a_closed_port_is_refused() {
    let result = runtime().block_on(async {
        // Bound and not listening: nobody else can get the port meanwhile.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        attempt(&order(socket.local_addr().unwrap(), tcp()), &mut Kept::default()).await.result
    });
    assert_eq!(result, failure("connection refused"));
}

#[test]
fn a_service_that_hangs_fails_after_the_timeout() {
    let result = runtime().block_on(async {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let mut order = order(listener.local_addr().unwrap(), ProbeKind::Http(http(None)));
        order.timeout = Duration::from_millis(150);
        attempt(&order, &mut Kept::default()).await.result
    });
    assert_eq!(result, failure("answer took longer than 150ms"));
}

#[test]
fn a_full_accept_queue_fails_after_the_timeout() {
    let result = runtime().block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let at = listener.local_addr().unwrap();
        let mut order = order(at, tcp());
        order.timeout = Duration::from_millis(150);
        // Probes leave the queue as it is.
        for _ in 0..8 {
            assert_eq!(attempt(&order, &mut Kept::default()).await.result, ProbeResult::Success);
        }
        // A backlog of one takes two connections; what comes then waits.
        let _clients = [TcpStream::connect(at).await.unwrap(), TcpStream::connect(at).await.unwrap()];
        attempt(&order, &mut Kept::default()).await.result
    });
    assert_eq!(result, failure("connecting took longer than 150ms"));
}

#[test]
fn a_tcp_probe_without_words_is_seen_by_the_kernel_alone() {
    runtime().block_on(async {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let listener = std::net::TcpListener::bind(at).unwrap();
            listener.set_nonblocking(true).unwrap();
            let order = order(listener.local_addr().unwrap(), tcp());
            let Ended { result, farewell } = attempt(&order, &mut Kept::default()).await;
            assert_eq!(result, ProbeResult::Success);
            assert!(farewell.is_none());
            // The kernel has dealt with the reset before the probe's socket was closed.
            assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "{at}");
            // And who comes then is served.
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
        }
    });
}

#[test]
fn a_tcp_probe_ends_with_a_fin_even_if_the_server_speaks_first() {
    runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let expect = Some(Pattern::new("ESMTP").unwrap());
        let order = order(listener.local_addr().unwrap(), ProbeKind::Tcp(TcpProbe { expect, ..TcpProbe::default() }));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"220 mail.example.test ESMTP\r\n").await.unwrap();
            // The end of the stream, not a reset.
            stream.read(&mut [0; 16]).await.unwrap()
        });
        let Ended { result, farewell: leftover } = attempt(&order, &mut Kept::default()).await;
        assert_eq!(result, ProbeResult::Success);
        farewell(leftover).await;
        assert_eq!(server.await.unwrap(), 0);
    });
}

#[test]
fn results_follow_the_service() {
    let (sink, results) = channel();
    let probes = Probes::start(sink).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    probes.set(BTreeMap::from([(monitor("tcp"), order(to, tcp()))]));
    assert_eq!(results.recv_timeout(LONG).unwrap(), (monitor("tcp"), ProbeResult::Success));
    drop(listener);
    let until = |wanted: ProbeResult| {
        let mut seen = std::iter::from_fn(|| results.recv_timeout(LONG).ok()).take(100);
        assert!(seen.any(|(_, result)| result == wanted), "{wanted:?}");
    };
    until(failure("connection refused"));
    let _listener = std::net::TcpListener::bind(to).unwrap();
    until(ProbeResult::Success);
    drop(probes);
    assert!(results.iter().count() <= 1, "nothing goes on");
}

#[test]
fn orders_begin_change_and_end() {
    let (sink, results) = channel();
    let probes = Probes::start(sink).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    // Only the first probe of each comes within any test's life.
    let rare = ProbeOrder { interval: Duration::from_secs(3600), ..order(to, tcp()) };
    let two = BTreeMap::from([(monitor("a"), rare.clone()), (monitor("b"), rare.clone())]);
    probes.set(two.clone());
    let mut first: Vec<MonitorId> = (0..2).map(|_| results.recv_timeout(LONG).unwrap().0).collect();
    first.sort();
    assert_eq!(first, [monitor("a"), monitor("b")]);
    probes.set(two);
    // A shorter interval takes effect although the long wait has begun; the unchanged one is left alone.
    let often = ProbeOrder { interval: Duration::from_millis(1), ..rare.clone() };
    probes.set(BTreeMap::from([(monitor("a"), often), (monitor("b"), rare.clone())]));
    for _ in 0..5 {
        assert_eq!(results.recv_timeout(LONG).unwrap().0, monitor("a"));
    }
    // Another target begins anew, at once; `a` ends.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = Some(other.local_addr().unwrap().port());
    probes.set(BTreeMap::from([(monitor("b"), ProbeOrder { port, kind: talking(), ..rare })]));
    let mut rest = std::iter::from_fn(|| results.recv_timeout(LONG).ok()).take(1000);
    assert!(rest.any(|(monitor, _)| &*monitor.monitor == "b"));
    other.accept().unwrap();
}

#[test]
fn a_server_that_never_closes_does_not_delay_the_next_probe() {
    let (sink, results) = channel();
    let probes = Probes::start(sink).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    probes.set(BTreeMap::from([(monitor("tcp"), order(listener.local_addr().unwrap(), talking()))]));
    let began = std::time::Instant::now();
    for _ in 0..10 {
        assert_eq!(results.recv_timeout(LONG).unwrap().1, ProbeResult::Success);
    }
    assert!(began.elapsed() < FAREWELL * 9, "ten farewells long");
}

#[test]
fn what_is_due_within_five_milliseconds_begins_together_and_never_early() {
    let start = together(Instant::now() + LONG);
    assert_eq!(together(start), start, "it is such a moment already");
    let begins = |nanos| together(start + Duration::from_nanos(nanos)) - start;
    for nanos in [1, 2_500_000, 4_999_999, 5_000_000] {
        assert_eq!(begins(nanos), TOGETHER, "due after {nanos} ns");
    }
    assert_eq!(begins(5_000_001), TOGETHER * 2);
}

#[test]
fn second_probes_are_spread_over_an_interval_and_later_ones_a_little() {
    let interval = Duration::from_millis(1000);
    // Every part that there is of an interval, the shortest first.
    let pauses = |second| (0..1 << 16).map(move |random| pause(interval, second, random)).collect::<Vec<_>>();
    let ms = |pause: Duration| pause.as_secs_f64() * 1000.0;
    let near = |pause: Duration, expected: f64| (ms(pause) - expected).abs() < 0.1;
    let is_spread = |pauses: &[Duration], shortest, middle, longest| {
        let [first, .., last] = pauses else { unreachable!("there are many") };
        near(*first, shortest) && near(pauses[pauses.len() / 2], middle) && near(*last, longest) && pauses.is_sorted()
    };
    assert!(is_spread(&pauses(true), 100.0, 500.0, 1000.0), "not twice in a moment");
    assert!(is_spread(&pauses(false), 950.0, 1000.0, 1050.0));
}

#[test]
fn one_probe_at_a_time() {
    let (sink, results) = channel();
    let probes = Probes::start(sink).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let slow = ProbeOrder {
        interval: Duration::from_millis(10),
        timeout: Duration::from_millis(200),
        ..order(listener.local_addr().unwrap(), ProbeKind::Http(http(None)))
    };
    probes.set(BTreeMap::from([(monitor("http"), slow)]));
    assert_eq!(results.recv_timeout(LONG).unwrap().1, failure("answer took longer than 200ms"));
    drop(probes);
    listener.set_nonblocking(true).unwrap();
    let connections = std::iter::from_fn(|| listener.accept().ok()).count();
    assert!(connections <= 2, "one that failed, perhaps the next that began: {connections}");
}

#[test]
fn news_begin_the_probe_under_way_anew_and_do_not_wait_for_the_interval() {
    let (sink, results) = channel();
    let probes = Probes::start(sink).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let rare = ProbeOrder {
        interval: Duration::from_secs(3600),
        timeout: LONG * 2,
        ..order(listener.local_addr().unwrap(), ProbeKind::Http(http(None)))
    };
    probes.set(BTreeMap::from([(monitor("http"), rare)]));
    let answer = |mut stream: std::net::TcpStream| {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            Read::read_exact(&mut stream, &mut byte).unwrap();
            request.extend(byte);
        }
        Write::write_all(&mut stream, b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        stream
    };
    // The first never gets an answer.
    let (_silent, _) = listener.accept().unwrap();
    probes.now(&monitor("http"));
    let _second = answer(listener.accept().unwrap().0);
    assert_eq!(results.recv_timeout(LONG).unwrap(), (monitor("http"), ProbeResult::Success));
    probes.now(&monitor("http"));
    let _third = answer(listener.accept().unwrap().0);
    assert_eq!(results.recv_timeout(LONG).unwrap(), (monitor("http"), ProbeResult::Success));
    probes.now(&monitor("unknown"));
    drop(probes);
    assert_eq!(results.try_iter().count(), 0, "one result for each, none for the one that was broken off");
}

#[test]
fn news_are_looked_into_with_a_new_connection() {
    let (sink, results) = channel();
    let probes = Probes::start(sink).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let kept = ProbeKind::Http(HttpProbe { keep_alive: true, ..http(None) });
    let often = ProbeOrder { interval: Duration::from_secs(20), ..order(listener.local_addr().unwrap(), kept) };
    probes.set(BTreeMap::from([(monitor("http"), often)]));
    let (mut stream, _) = listener.accept().unwrap();
    // Who closes the port, and serves those who are connected to the end, is not there for new clients.
    let server = thread::spawn(move || {
        let mut request = [0; 4096];
        while Read::read(&mut stream, &mut request).is_ok_and(|length| length > 0) {
            Write::write_all(&mut stream, b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }
    });
    assert_eq!(results.recv_timeout(LONG).unwrap().1, ProbeResult::Success);
    drop(listener);
    probes.now(&monitor("http"));
    assert_eq!(results.recv_timeout(LONG).unwrap().1, failure("connection refused"));
    drop(probes);
    server.join().unwrap();
}

#[test]
fn a_process_end_is_seen_without_waiting_for_the_interval() {
    let (sink, results) = channel();
    let probes = Probes::start(sink).unwrap();
    let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    std::fs::write(&file, format!("{}\n", child.id())).unwrap();
    let kind = ProbeKind::Process(ProcessProbe { pid_file: Some(file.as_path().into()), name: Some("sleep".into()) });
    let rare =
        ProbeOrder { interval: Duration::from_secs(3600), port: None, ..order(([127, 0, 0, 1], 1).into(), kind) };
    probes.set(BTreeMap::from([(monitor("process"), rare)]));
    assert_eq!(results.recv_timeout(LONG).unwrap(), (monitor("process"), ProbeResult::Success));
    child.kill().unwrap();
    // It has ended although nobody has waited for it yet.
    let reason = format!("process {} of {} has ended", child.id(), file.display());
    assert_eq!(results.recv_timeout(LONG).unwrap(), (monitor("process"), failure(&reason)));
    child.wait().unwrap();
}

#[test]
fn a_service_reports_by_itself_or_is_missed() {
    let (sink, results) = channel();
    let probes = Probes::start(sink).unwrap();
    let pushed = |within| ProbeKind::Push(PushProbe { within });
    let here = ([127, 0, 0, 1], 1).into();
    let orders =
        |within| BTreeMap::from([(monitor("push"), order(here, pushed(within))), (monitor("tcp"), order(here, tcp()))]);
    probes.set(orders(LONG * 10));
    let next = || loop {
        let (id, result) = results.recv_timeout(LONG).unwrap();
        if id == monitor("push") {
            return result;
        }
    };
    for result in [ProbeResult::Success, ProbeResult::Degraded("tape full".into()), failure("no tape")] {
        assert_eq!(probes.push(&monitor("push"), result.clone()), Ok(()));
        assert_eq!(next(), result);
    }
    assert_eq!(probes.push(&monitor("none"), ProbeResult::Success), Err(PushError::Unknown));
    assert_eq!(probes.push(&monitor("tcp"), ProbeResult::Success), Err(PushError::NotPushed));
    probes.set(orders(Duration::from_millis(50)));
    assert_eq!(next(), failure("nothing was reported within 50ms"));
    assert_eq!(probes.push(&monitor("push"), ProbeResult::Success), Ok(()));
    assert!((0..100).any(|_| next() == ProbeResult::Success));
}

#[test]
fn a_program_is_killed_at_its_limit_and_runs_once_at_a_time() {
    let runtime = runtime();
    let shell = |text: &str| {
        let arguments = vec!["-c".into(), text.into()];
        let kind = ProbeKind::Exec(ExecProbe { program: "/bin/sh".into(), arguments, user: None });
        ProbeOrder { port: None, timeout: Duration::from_millis(200), ..order(([127, 0, 0, 1], 1).into(), kind) }
    };
    let result = runtime.block_on(async { attempt(&shell("sleep 600"), &mut Kept::default()).await.result });
    assert_eq!(result, failure("killed at its time limit"));
    let well = ProbeOrder { timeout: LONG, ..shell("echo fine") };
    let mut kept = Kept::default();
    let results =
        runtime.block_on(async { [attempt(&well, &mut kept).await.result, attempt(&well, &mut kept).await.result] });
    assert_eq!(results, [ProbeResult::Success, ProbeResult::Success]);
}
